// Clients of all kinds for many servers at once, polite and rude: crowd SECONDS CONNECTIONS < TARGETS
//
// TARGETS is a JSON array of targets. Each server has to do with all kinds of clients that it knows, side by side, and
// each answer is compared with what it must be. The numbers of answers by target and kind are printed as JSON.
// The exit code is 1 if one was wrong, missing or late; the first of each target and kind is told on standard error.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

const patience = 5 * time.Minute // for one answer, on the busiest machine

// A server, and what it says.
type target struct {
	Name     string
	Protocol string // "http", "https", "redis", "memcached"
	Address  string
	Path     string // of HTTP: what is asked for,
	Body     string // and what is the answer
	Echo     string // of HTTP: where a body comes back; "" if nowhere
	Half     bool   // of HTTP: whether a client may close its half and still hears the answer
	Most     int    // connections at once; 0: any number
	Closes   bool   // of HTTP: whether each answer is the connection's last
}

// A kind of client: it serves one turn, and tells how many answers were right.
type client func(t *target, crowd int) (int, error)

type counts struct {
	sync.Mutex
	answers map[string]map[string]int
	failed  bool
}

func (c *counts) add(t *target, kind string, answers int, err error) {
	c.Lock()
	defer c.Unlock()
	if c.answers[t.Name] == nil {
		c.answers[t.Name] = map[string]int{}
	}
	c.answers[t.Name][kind] += answers
	if err != nil {
		if c.answers[t.Name]["failed"] == 0 {
			fmt.Fprintf(os.Stderr, "%s, %s: %v\n", t.Name, kind, err)
		}
		c.answers[t.Name]["failed"]++
		c.failed = true
	}
}

func main() {
	seconds, err := strconv.ParseFloat(os.Args[1], 64)
	if err != nil {
		panic(err)
	}
	crowd, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	var targets []*target
	if err := json.NewDecoder(os.Stdin).Decode(&targets); err != nil {
		panic(err)
	}
	end := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	counts := counts{answers: map[string]map[string]int{}}
	var all sync.WaitGroup
	for _, t := range targets {
		for kind, turn := range kinds(t) {
			t, kind, turn := t, kind, turn
			all.Add(1)
			go func() {
				defer all.Done()
				for turns := 0; turns == 0 || time.Now().Before(end); turns++ {
					answers, err := turn(t, crowd)
					counts.add(t, kind, answers, err)
					if err != nil {
						return
					}
				}
			}()
		}
	}
	all.Wait()
	json.NewEncoder(os.Stdout).Encode(counts.answers)
	if counts.failed {
		os.Exit(1)
	}
}

func kinds(t *target) map[string]client {
	switch t.Protocol {
	case "redis":
		return map[string]client{"keep": redisTurn, "crowd": redisCrowd, "reset": reset("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$100\r\nabc"), "slow": slowly("*1\r\n$4\r\nPING\r\n", "+PONG\r\n")}
	case "memcached":
		return map[string]client{"keep": memcachedTurn, "crowd": memcachedCrowd, "reset": reset("set a 0 0 100\r\nabc"), "slow": slowly("mn\r\n", "MN\r\n")}
	default:
		found := map[string]client{"once": once, "crowd": httpCrowd, "slow": slowRequest, "reset": reset("GET /"), "unread": unread}
		if !t.Closes {
			found["keep"] = keepAlive
		}
		if t.Echo != "" {
			found["echo"] = echo
			found["cut"] = reset("POST " + t.Echo + " HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc")
		}
		if t.Half {
			found["half"] = halfClosed
		}
		return found
	}
}
