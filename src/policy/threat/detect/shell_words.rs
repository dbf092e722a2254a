//! The names of commands, by how surely they are one.

use crate::policy::words::Words;

/// How surely a word is a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strength {
    /// Hardly a word of any language.
    Sure,
    /// A word as well.
    Maybe,
}

/// How surely a word, in lower case, is a command; `None` when it is none.
pub(super) fn strength(word: &[u8]) -> Option<Strength> {
    if word.len() < 2 || word.len() > 14 {
        return (word == b"w").then_some(Strength::Maybe);
    }
    COMMANDS.meaning(word).or_else(|| {
        let bare = word
            .iter()
            .rposition(|b| !(b.is_ascii_digit() || *b == b'.'))
            .map_or(&[][..], |i| word.get(..=i).unwrap_or_default());
        let versioned = bare.len() > 2 && bare.len() < word.len();
        let known = COMMANDS.meaning(bare).filter(|_| versioned);
        known.filter(|strength| *strength == Strength::Maybe)
    })
}

static COMMANDS: Words<Strength, 512> =
    Words::new(&[(SURE, Strength::Sure), (MAYBE, Strength::Maybe)]);

const SURE: &[&str] = &[
    "whoami",
    "uname",
    "wget",
    "curl",
    "nslookup",
    "netstat",
    "ifconfig",
    "ipconfig",
    "chmod",
    "chown",
    "chgrp",
    "mkfifo",
    "busybox",
    "kubectl",
    "socat",
    "ncat",
    "netcat",
    "certutil",
    "bitsadmin",
    "systeminfo",
    "tasklist",
    "taskkill",
    "powershell",
    "pwsh",
    "wmic",
    "regsvr32",
    "rundll32",
    "mshta",
    "cscript",
    "wscript",
    "schtasks",
    "icacls",
    "cacls",
    "vssadmin",
    "getent",
    "printenv",
    "setenv",
    "useradd",
    "usermod",
    "adduser",
    "groupadd",
    "crontab",
    "xargs",
    "tcpdump",
    "traceroute",
    "tracert",
    "nmap",
    "telnet",
    "tftp",
    "sftp",
    "rsync",
    "lsof",
    "lsblk",
    "dmesg",
    "iptables",
    "systemctl",
    "journalctl",
    "gawk",
    "mawk",
    "xxd",
    "hexdump",
    "bash",
    "zsh",
    "ksh",
    "csh",
    "tcsh",
    "fdisk",
    "mkfs",
    "mkdir",
    "rmdir",
    "cmd",
    "sudo",
    "passwd",
    "whereis",
    "ipcs",
    "arp",
    "nohup",
    "setsid",
    "gcc",
    "strace",
    "gdb",
    "phpinfo",
    "printf",
    "findstr",
    "egrep",
    "killall",
    "pkill",
    "expr",
    "nc",
    "tac",
    "awk",
    "sed",
    "sh",
    "ls",
    "rm",
    "ps",
];

const MAYBE: &[&str] = &[
    "cat", "id", "who", "pwd", "echo", "ping", "ping6", "host", "dig", "sleep", "env", "export",
    "set", "dir", "type", "copy", "move", "del", "erase", "ren", "net", "reg", "route", "ver",
    "vol", "start", "find", "grep", "head", "tail", "more", "less", "nl", "od", "cut", "sort",
    "uniq", "wc", "tee", "tr", "rev", "paste", "strings", "base64", "base32", "touch", "cp", "mv",
    "ln", "df", "du", "mount", "date", "uptime", "last", "hostname", "ip", "ss", "kill", "reboot",
    "shutdown", "halt", "poweroff", "su", "ssh", "scp", "ftp", "tar", "zip", "unzip", "gzip",
    "python", "perl", "ruby", "php", "node", "lua", "java", "make", "docker", "git", "eval",
    "exec", "source", "system", "timeout", "watch", "screen", "top", "file", "stat", "split", "dd",
    "vi", "vim", "nano", "ed", "for", "cd", "time", "nice", "trap", "alias", "history", "test",
    "yes", "bc",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_with_their_versions() {
        assert_eq!(strength(b"whoami"), Some(Strength::Sure));
        assert_eq!(strength(b"python3.11"), Some(Strength::Maybe));
        assert_eq!(strength(b"catalogue"), None);
    }
}
