package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// A connection with what was read ahead of it.
type connection struct {
	net.Conn
	reader *bufio.Reader
}

func open(t *target) (*connection, error) {
	raw, err := net.DialTimeout("tcp", t.Address, patience)
	if err != nil {
		return nil, err
	}
	raw.SetDeadline(time.Now().Add(patience))
	if t.Protocol == "https" {
		// The certificate is the test's own: what counts here is that the bytes arrive.
		raw = tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
	}
	return &connection{raw, bufio.NewReader(raw)}, nil
}

// Says it all and expects exactly this answer.
func (c *connection) talk(said, expected string) error {
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, said); err != nil {
		return err
	}
	return c.hear(expected)
}

func (c *connection) hear(expected string) error {
	got := make([]byte, len(expected))
	if n, err := io.ReadFull(c.reader, got); err != nil || string(got) != expected {
		return fmt.Errorf("heard %.200q of %.200q: %v", got[:n], expected, err)
	}
	return nil
}

// One crowd at a time: all of them would be more descriptors than a process has.
var crowds sync.Mutex

// Runs `ask` over many connections, which are all open at the same time.
func together(t *target, count int, ask func(c *connection, number int) error) (int, error) {
	crowds.Lock()
	defer crowds.Unlock()
	if t.Most != 0 && t.Most < count {
		count = t.Most
	}
	connections := make([]*connection, 0, count)
	defer func() {
		for _, c := range connections {
			c.Close()
		}
	}()
	for range make([]struct{}, count) {
		c, err := open(t)
		if err != nil {
			return 0, err
		}
		connections = append(connections, c)
	}
	var wait sync.WaitGroup
	failures := make(chan error, count)
	for number, c := range connections {
		wait.Add(1)
		go func(c *connection, number int) {
			defer wait.Done()
			c.SetDeadline(time.Now().Add(patience))
			if err := ask(c, number); err != nil {
				failures <- fmt.Errorf("connection %d of %d: %w", number, count, err)
			}
		}(c, number)
	}
	wait.Wait()
	select {
	case err := <-failures:
		return count - len(failures) - 1, err
	default:
		return count, nil
	}
}

const pause = 20 * time.Millisecond // of clients that are a nuisance by what they do, not by how often

// A client that goes in the middle of what it says, by a reset. It expects nothing but to be let in.
func reset(said string) client {
	return func(t *target, _ int) (int, error) {
		raw, err := net.DialTimeout("tcp", t.Address, patience)
		if err != nil {
			return 0, err
		}
		io.WriteString(raw, said)
		raw.(*net.TCPConn).SetLinger(0)
		raw.Close()
		time.Sleep(pause)
		return 1, nil
	}
}

// A client that says one byte after the other.
func slowly(said, expected string) client {
	return func(t *target, _ int) (int, error) {
		c, err := open(t)
		if err != nil {
			return 0, err
		}
		defer c.Close()
		for _, letter := range []byte(said) {
			c.SetDeadline(time.Now().Add(patience))
			if _, err := c.Write([]byte{letter}); err != nil {
				return 0, err
			}
			time.Sleep(pause / 4)
		}
		return 1, c.hear(expected)
	}
}
