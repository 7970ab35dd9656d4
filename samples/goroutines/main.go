// Command goroutines starts 1,000 goroutines that allocate, compute and meet again, with the garbage collector running throughout.
package main

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

func work(seed uint64) uint64 {
	var sum uint64
	for round := 0; round < 20; round++ {
		block := make([]uint64, 1024)
		for i := range block {
			seed = seed*6364136223846793005 + 1442695040888963407
			block[i] = seed
		}
		for _, value := range block {
			sum ^= value
		}
		runtime.Gosched()
	}
	return sum
}

func main() {
	const goroutines = 1000
	var total atomic.Uint64
	var group sync.WaitGroup
	results := make(chan uint64, 16)
	for i := 0; i < goroutines; i++ {
		group.Add(1)
		go func(seed uint64) {
			defer group.Done()
			results <- work(seed)
		}(uint64(i))
	}
	go func() { group.Wait(); close(results) }()
	for value := range results {
		total.Add(value)
	}
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	fmt.Printf("%d goroutines, checksum %016x, garbage collected: %v\n", goroutines, total.Load(), memory.NumGC > 0)
}
