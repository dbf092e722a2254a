//! `rg-gateway`: arguments become one command each, outcomes become exit codes.

use std::process::ExitCode;

use clap::Parser;
use rg_gateway::cli::{self, Cli};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; they go to standard output.
            let usage = error.use_stderr();
            drop(error.print());
            return if usage {
                ExitCode::from(cli::EXIT_USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    cli::run(cli, &mut std::io::stdout().lock(), &mut std::io::stderr())
}
