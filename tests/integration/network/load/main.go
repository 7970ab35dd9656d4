// A client with many connections, each of which asks and waits for its answer: load ADDRESS CONNECTIONS REQUESTS
package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
)

func main() {
	conns, _ := strconv.Atoi(os.Args[2])
	total, _ := strconv.Atoi(os.Args[3])
	var wg sync.WaitGroup
	for i := 0; i < conns; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c, err := net.Dial("tcp", os.Args[1])
			if err != nil {
				panic(err)
			}
			r := bufio.NewReader(c)
			for n := 0; n < total/conns; n++ {
				io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					panic(err)
				}
				io.Copy(io.Discard, resp.Body)
			}
			c.Close()
		}()
	}
	wg.Wait()
}
