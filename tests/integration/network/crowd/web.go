package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const turns = 200 // requests over one connection

func request(t *target, method, path string, body string, last bool) string {
	connection := ""
	if last {
		connection = "Connection: close\r\n"
	}
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %d\r\n\r\n%s", method, path, connection, len(body), body)
}

// Reads one answer, whose body must be this.
func (c *connection) answer(expected string) error {
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil || response.StatusCode != http.StatusOK || string(body) != expected {
		return fmt.Errorf("status %d, %d bytes where %d were expected (%.40q): %v", response.StatusCode, len(body), len(expected), body, err)
	}
	return nil
}

func (c *connection) ask(t *target, last bool) error {
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, request(t, "GET", t.Path, "", last)); err != nil {
		return err
	}
	return c.answer(t.Body)
}

func keepAlive(t *target, _ int) (int, error) {
	c, err := open(t)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	for n := 0; n < turns; n++ {
		if err := c.ask(t, false); err != nil {
			return n, err
		}
	}
	return turns, nil
}

func once(t *target, _ int) (int, error) {
	c, err := open(t)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	return 1, c.ask(t, true)
}

// The answer to each connection comes before the next question of any.
func httpCrowd(t *target, crowd int) (int, error) {
	return together(t, crowd, func(c *connection, _ int) error {
		if !t.Closes {
			if err := c.ask(t, false); err != nil {
				return err
			}
		}
		return c.ask(t, true)
	})
}

func echo(t *target, _ int) (int, error) {
	c, err := open(t)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	body := strings.Repeat("0123456789abcde\n", 10_000)
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(c, request(t, "POST", t.Echo, body, true))
		sent <- err
	}()
	if err := c.answer(body); err != nil {
		return 0, err
	}
	return 1, <-sent
}

func slowRequest(t *target, _ int) (int, error) {
	c, err := open(t)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	for _, letter := range []byte(request(t, "GET", t.Path, "", true)) {
		c.SetDeadline(time.Now().Add(patience))
		if _, err := c.Write([]byte{letter}); err != nil {
			return 0, err
		}
		time.Sleep(pause / 4)
	}
	return 1, c.answer(t.Body)
}

// Asks for much, and goes without reading it.
func unread(t *target, _ int) (int, error) {
	c, err := open(t)
	if err != nil {
		return 0, err
	}
	question := request(t, "GET", t.Path, "", false)
	if _, err := io.Copy(c, bytes.NewReader([]byte(strings.Repeat(question, 20)))); err != nil {
		return 0, err
	}
	time.Sleep(pause)
	return 1, c.Close()
}

// Says no more after its question, and hears the answer to its end.
func halfClosed(t *target, _ int) (int, error) {
	c, err := open(t)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if _, err := io.WriteString(c, request(t, "GET", t.Path, "", true)); err != nil {
		return 0, err
	}
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		return 0, err
	}
	if err := c.answer(t.Body); err != nil {
		return 0, err
	}
	if n, err := c.reader.Read(make([]byte, 1)); err != io.EOF {
		return 0, fmt.Errorf("after the answer: %d, %v", n, err)
	}
	return 1, nil
}
