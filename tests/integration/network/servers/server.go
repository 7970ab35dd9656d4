// An HTTP server as people write it: server [PORT [CERTIFICATE KEY]]. Prints its port.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
)

func self(w http.ResponseWriter, r *http.Request) {
	descriptors, _ := os.ReadDir("/proc/self/fd")
	status, _ := os.ReadFile("/proc/self/status")
	fmt.Fprintf(w, "descriptors: %d\n%s", len(descriptors), status)
}

func main() {
	arguments := append(os.Args[1:], "0")
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello from inside\n") })
	http.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	http.HandleFunc("/large", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, strings.Repeat("0123456789abcdef", 1<<16))
	})
	http.HandleFunc("/self", self)
	listener, err := net.Listen("tcp", "127.0.0.1:"+arguments[0])
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	if len(os.Args) == 4 {
		panic(http.ServeTLS(listener, nil, os.Args[2], os.Args[3]))
	}
	panic(http.Serve(listener, nil))
}
