package runtime_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// toolArg makes the test binary a small server or client, so that pods need no program of the host's but a shell.
const toolArg = "test-tool"

// runTool is "serve NETWORK PORT TEXT", which answers everyone with TEXT and the client's address, or "ask NETWORK
// ADDRESS", which prints the answer.
func runTool(args []string) error {
	if args[0] == "ask" {
		answer, err := ask(args[1], args[2])
		fmt.Println(answer)
		return err
	}
	network, port, text := args[1], args[2], args[3]
	if network == "udp" {
		conn, err := net.ListenPacket("udp", ":"+port)
		if err != nil {
			return err
		}
		fmt.Println("ready")
		buf := make([]byte, 100)
		for {
			_, from, err := conn.ReadFrom(buf)
			if err != nil {
				return err
			}
			if _, err := conn.WriteTo([]byte(text+" "+hostOf(from)), from); err != nil {
				return err
			}
		}
	}
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		// The client's whole request comes first: half-closed connections have to work.
		request, err := io.ReadAll(conn)
		if err == nil {
			_, err = fmt.Fprintf(conn, "%s %s %d", text, hostOf(conn.RemoteAddr()), len(request))
		}
		if err != nil {
			return err
		}
		_ = conn.Close()
	}
}

func hostOf(addr net.Addr) string {
	host, _, _ := net.SplitHostPort(addr.String())
	return host
}

// ask sends three bytes and returns the answer.
func ask(network, addr string) (string, error) {
	conn, err := net.DialTimeout(network, addr, 5*time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, "hey"); err != nil {
		return "", err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		if err := tcp.CloseWrite(); err != nil {
			return "", err
		}
		answer, err := io.ReadAll(conn)
		return string(answer), err
	}
	buf := make([]byte, 200)
	n, err := conn.Read(buf)
	return string(buf[:n]), err
}

func mustAsk(t *testing.T, network, addr string) string {
	t.Helper()
	answer, err := ask(network, addr)
	if err != nil {
		t.Fatalf("ask %s %s: %v", network, addr, err)
	}
	return answer
}

// serve starts a container with a server, which answers when serve returns.
func (p *pod) serve(network string, port int, text string) string {
	p.t.Helper()
	name := network + strconv.Itoa(port)
	id := p.start(name, "", tool(p.t, "serve", network, strconv.Itoa(port), text))
	p.eventually("the server listens", func() bool { return p.log(name) == "stdout F ready\n" })
	return id
}

// tool makes a container run the test binary.
func tool(t testing.TB, args ...string) func(*cri.ContainerConfig) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return func(c *cri.ContainerConfig) {
		c.Command, c.Args = []string{self, toolArg}, args
	}
}
