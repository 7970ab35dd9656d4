// Command server keeps small texts for its clients: PUT /NAME gives one, GET /NAME takes it back. SIGTERM ends it, once all are served.
package main

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"os/signal"
	"sync"
	"syscall"
)

const sizeMax = 1 << 20

type store struct {
	sync.RWMutex
	texts map[string][]byte
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodPut:
		text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, sizeMax))
		if err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		s.Lock()
		s.texts[r.URL.Path] = text
		s.Unlock()
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet:
		s.RLock()
		text, found := s.texts[r.URL.Path]
		s.RUnlock()
		if !found {
			http.NotFound(w, r)
			return
		}
		w.Write(text)
	default:
		http.Error(w, "PUT and GET", http.StatusMethodNotAllowed)
	}
}

func main() {
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	listener, err := net.Listen("tcp", ":8080")
	if err != nil {
		log.Fatal(err)
	}
	log.Print("listening on :8080")
	server := &http.Server{Handler: &store{texts: map[string][]byte{}}}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		log.Fatal(err)
	case <-ended.Done():
		if err := server.Shutdown(context.Background()); err != nil {
			log.Fatal(err)
		}
	}
}
