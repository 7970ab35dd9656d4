// Command storm allocates, hashes and sorts in many goroutines, and looks whether it comes to the same every time, until
// standard input ends.
package main

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"
)

func work(seed uint64) [32]byte {
	values := make([]uint64, 2000)
	kept := map[uint64]int{}
	for i := range values {
		seed = seed*6364136223846793005 + 1442695040888963407
		values[i] = seed
		kept[seed] = i
	}
	sort.Slice(values, func(i, j int) bool { return values[i] < values[j] })
	bytes := make([]byte, 0, 16*len(values))
	for _, value := range values {
		bytes = binary.LittleEndian.AppendUint64(bytes, value)
		bytes = binary.LittleEndian.AppendUint64(bytes, uint64(kept[value])+uint64(float64(value)*0.5))
	}
	return sha256.Sum256(bytes)
}

func main() {
	const goroutines = 8
	var stop atomic.Bool
	var rounds atomic.Uint64
	var group sync.WaitGroup
	for i := uint64(1); i <= goroutines; i++ {
		group.Add(1)
		go func(seed uint64) {
			defer group.Done()
			for expected := work(seed); !stop.Load(); rounds.Add(1) {
				if work(seed) != expected {
					fmt.Fprintln(os.Stderr, "another result")
					os.Exit(1)
				}
				if rounds.Load()%64 == 0 {
					runtime.GC()
				}
			}
		}(i)
	}
	fmt.Println("begun")
	_, _ = io.Copy(io.Discard, os.Stdin)
	stop.Store(true)
	group.Wait()
	fmt.Fprintln(os.Stderr, rounds.Load(), "rounds")
	fmt.Println("storm ok")
}
