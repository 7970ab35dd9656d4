// Children by os/exec: the same lines anywhere.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func streams() {
	command := exec.Command("tr", "a-z", "A-Z")
	command.Stdin = strings.NewReader(strings.Repeat("megabyte", 1<<17))
	output, err := command.Output()
	fmt.Println("output", len(output), string(output[:8]), err)
	output, err = exec.Command("sh", "-c", "echo out; echo err >&2; exit 3").CombinedOutput()
	fmt.Printf("combined %q %v\n", output, err)
	first, second := exec.Command("seq", "1", "5000"), exec.Command("wc", "-l")
	pipe, err := first.StdoutPipe()
	must(err)
	second.Stdin = pipe
	must(first.Start())
	output, err = second.Output()
	must(first.Wait())
	fmt.Printf("pipeline %q %v\n", output, err)
	echo := exec.Command("cat")
	in, _ := echo.StdinPipe()
	out, _ := echo.StdoutPipe()
	must(echo.Start())
	reader := bufio.NewReader(out)
	for _, line := range []string{"one\n", "two\n"} {
		io.WriteString(in, line)
		answer, _ := reader.ReadString('\n')
		fmt.Printf("line %q\n", answer)
	}
	in.Close()
	fmt.Println("closed", echo.Wait())
	r, w, err := os.Pipe()
	must(err)
	extra := exec.Command("sh", "-c", "echo by the fourth >&3")
	extra.ExtraFiles = []*os.File{w}
	must(extra.Run())
	w.Close()
	output, _ = io.ReadAll(r)
	fmt.Printf("extra %q\n", output)
}

func ends() {
	for _, script := range []string{"exit 0", "exit 7", "kill -TERM $$", "kill -KILL $$"} {
		command := exec.Command("sh", "-c", script)
		err := command.Run()
		fmt.Println(script, err, command.ProcessState.ExitCode())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	fmt.Println("timeout", exec.CommandContext(ctx, "sleep", "100").Run())
	sleeper := exec.Command("sleep", "100")
	must(sleeper.Start())
	fmt.Println("alive", sleeper.Process.Signal(syscall.Signal(0)))
	must(sleeper.Process.Signal(os.Interrupt))
	fmt.Println("interrupted", sleeper.Wait(), errors.Is(sleeper.Process.Kill(), os.ErrProcessDone))
	for _, name := range []string{"/none", "none", "/etc/passwd"} {
		fmt.Println("refused", exec.Command(name).Run())
	}
	command := exec.Command("true")
	command.Dir = "/none"
	fmt.Println("refused", command.Run())
}

func attributes() {
	ask := func(attributes *syscall.SysProcAttr, script string) string {
		command := exec.Command("sh", "-c", script)
		command.SysProcAttr, command.Env, command.Dir = attributes, []string{"PATH=/usr/bin:/bin", "ONLY=this"}, "/usr"
		output, err := command.CombinedOutput()
		return fmt.Sprintf("%q %v", output, err)
	}
	fmt.Println("environment", ask(nil, "env | grep -v ^_ | sort | tr '\\n' ' '; pwd"))
	stat := "read pid name state parent group session rest < /proc/self/stat; [ $group = $$ ] && echo group; [ $session = $$ ] && echo session; true"
	fmt.Println("plain", ask(nil, stat))
	fmt.Println("setpgid", ask(&syscall.SysProcAttr{Setpgid: true}, stat))
	fmt.Println("setsid", ask(&syscall.SysProcAttr{Setsid: true}, stat))
	ids := &syscall.Credential{Uid: 65534, Gid: 65534, Groups: []uint32{7}}
	fmt.Println("credential", ask(&syscall.SysProcAttr{Credential: ids}, "id -u; id -g; id -G"))
	fmt.Println("pdeathsig", ask(&syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}, "echo still here"))
	fmt.Println("refused", ask(&syscall.SysProcAttr{Chroot: "/none"}, "true"))
}

func crowd() {
	signals := make(chan os.Signal, 100)
	signal.Notify(signals, syscall.SIGCHLD)
	var group sync.WaitGroup
	var lock sync.Mutex
	var all []string
	for number := 0; number < 24; number++ {
		group.Add(1)
		go func(number int) {
			defer group.Done()
			var out bytes.Buffer
			command := exec.Command("sh", "-c", fmt.Sprintf("echo %02d; exit %d", number, number))
			command.Stdout = &out
			command.Run()
			lock.Lock()
			defer lock.Unlock()
			all = append(all, fmt.Sprint(strings.TrimSpace(out.String()), "=", command.ProcessState.ExitCode()))
		}(number)
	}
	group.Wait()
	sort.Strings(all)
	fmt.Println(all, len(signals) > 0)
	process, err := os.StartProcess("/bin/echo", []string{"echo", "started"}, &os.ProcAttr{Files: []*os.File{nil, os.Stdout, os.Stderr}})
	must(err)
	state, err := process.Wait()
	fmt.Println(state, err)
	must(syscall.Exec("/bin/sh", []string{"sh", "-c", "echo replaced by $0 $ONLY", "exec"}, []string{"ONLY=this"}))
}

func main() {
	streams()
	ends()
	attributes()
	crowd()
}
