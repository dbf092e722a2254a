// FerretDB on loopback, its own database in a folder: arguments are the port, the folder, and optionally the
// certificate and key to speak TLS with.
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	address := "127.0.0.1:" + os.Args[1]
	listener := ferretdb.ListenerConfig{TCP: address}
	if len(os.Args) > 3 {
		listener = ferretdb.ListenerConfig{TLS: address, TLSCertFile: os.Args[3], TLSKeyFile: os.Args[4]}
	}
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  listener,
		Handler:   "sqlite",
		SQLiteURL: "file:" + os.Args[2] + "/",
	})
	if err != nil {
		log.Fatal(err)
	}
	until, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := server.Run(until); err != nil {
		log.Fatal(err)
	}
}
