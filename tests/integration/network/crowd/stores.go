package main

import (
	"fmt"
	"strings"
)

// Values of all sizes, from few bytes to more than a segment.
func value(number int) string {
	return strings.Repeat(fmt.Sprintf("value %d;", number), 1+number%97*number%89)
}

func (c *connection) redis(key string, number int) error {
	v := value(number)
	set := fmt.Sprintf("*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(key), key, len(v), v)
	get := fmt.Sprintf("*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", len(key), key)
	return c.talk(set+get, fmt.Sprintf("+OK\r\n$%d\r\n%s\r\n", len(v), v))
}

func (c *connection) memcached(key string, number int) error {
	v := value(number)
	said := fmt.Sprintf("set %s 0 0 %d\r\n%s\r\nget %s\r\n", key, len(v), v, key)
	return c.talk(said, fmt.Sprintf("STORED\r\nVALUE %s 0 %d\r\n%s\r\nEND\r\n", key, len(v), v))
}

func storeTurn(ask func(c *connection, key string, number int) error) client {
	return func(t *target, _ int) (int, error) {
		c, err := open(t)
		if err != nil {
			return 0, err
		}
		defer c.Close()
		for n := 0; n < turns; n++ {
			if err := ask(c, "keep", n); err != nil {
				return n, err
			}
		}
		return turns, nil
	}
}

func storeCrowd(ask func(c *connection, key string, number int) error) client {
	return func(t *target, crowd int) (int, error) {
		return together(t, crowd, func(c *connection, number int) error { return ask(c, fmt.Sprint("crowd", number), number) })
	}
}

var (
	redisTurn      = storeTurn((*connection).redis)
	redisCrowd     = storeCrowd((*connection).redis)
	memcachedTurn  = storeTurn((*connection).memcached)
	memcachedCrowd = storeCrowd((*connection).memcached)
)
