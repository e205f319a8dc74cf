// An HTTP server. With "shutdown" it does on SIGTERM what the documentation of net/http tells.
package main

import (
	"context"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func answer(w http.ResponseWriter, r *http.Request) {
	body := "hello\n"
	if r.URL.Path == "/slow" {
		time.Sleep(4 * time.Second)
		body = strings.Repeat("slow\n", 600)
	}
	w.Write([]byte(body))
}

func main() {
	server := &http.Server{Addr: ":8080", Handler: http.HandlerFunc(answer)}
	if len(os.Args) < 2 {
		panic(server.ListenAndServe())
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM)
	go server.ListenAndServe()
	<-signals
	file, _ := os.OpenFile("signals", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	file.WriteString("got SIGTERM\n")
	go func() {
		for range signals {
			file.WriteString("got SIGTERM\n")
		}
	}()
	server.Shutdown(context.Background())
}
