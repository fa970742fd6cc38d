package runtime_test

import (
	"strings"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// show prints what a process may do; exec and the first process must agree.
const show = "id -u; id -g; id -G; grep -E '^(CapBnd|CapEff|NoNewPrivs)' /proc/self/status | tr '\\t' ' '"

func TestPrivileges(t *testing.T) {
	tests := []struct {
		name   string
		change func(*cri.LinuxContainerSecurityContext)
		want   string
	}{
		{"default", func(*cri.LinuxContainerSecurityContext) {}, "0\n0\n0\nCapEff: 00000000a80425fb\nCapBnd: 00000000a80425fb\nNoNewPrivs: 0"},
		{"drop-all", func(s *cri.LinuxContainerSecurityContext) {
			s.Capabilities = &cri.Capability{DropCapabilities: []string{"ALL"}, AddCapabilities: []string{"NET_ADMIN"}}
		}, "0\n0\n0\nCapEff: 0000000000001000\nCapBnd: 0000000000001000\nNoNewPrivs: 0"},
		{"user", func(s *cri.LinuxContainerSecurityContext) {
			s.RunAsUser, s.RunAsGroup = &cri.Int64Value{Value: 4321}, &cri.Int64Value{Value: 8765}
			s.SupplementalGroups, s.NoNewPrivs = []int64{111, 222}, true
		}, "4321\n8765\n8765 111 222\nCapEff: 0000000000000000\nCapBnd: 00000000a80425fb\nNoNewPrivs: 1"},
		{"name", func(s *cri.LinuxContainerSecurityContext) {
			s.RunAsUsername = "daemon"
		}, "1\n1\n1\nCapEff: 0000000000000000\nCapBnd: 00000000a80425fb\nNoNewPrivs: 0"},
	}
	p := startServer(t, "").run("pod", nil)
	for _, tt := range tests {
		id := p.start(tt.name, show+"; echo end > /dev/stdout; exec sleep 1000", func(c *cri.ContainerConfig) { tt.change(c.Linux.SecurityContext) })
		if got := p.exec(id, "("+show+") > /dev/stdout"); got != tt.want {
			t.Errorf("%s: exec: %q, want %q", tt.name, got, tt.want)
		}
		p.eventually("the script has run", func() bool { return len(p.lines(tt.name)) > 0 })
		if got := p.lines(tt.name); got != tt.want {
			t.Errorf("%s: first process: %q, want %q", tt.name, got, tt.want)
		}
	}
	id, err := p.create("wrong", "true", func(c *cri.ContainerConfig) {
		c.Linux.SecurityContext.Capabilities = &cri.Capability{AddCapabilities: []string{"FLY"}}
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.StartContainer(t.Context(), &cri.StartContainerRequest{ContainerId: id})
	if err == nil || !strings.Contains(err.Error(), `"FLY" is not the name of a capability`) {
		t.Errorf("error %v", err)
	}
}

// lines is what a container has printed up to the line "end"; empty before that.
func (p *pod) lines(name string) string {
	text := strings.ReplaceAll(p.log(name), "stdout F ", "")
	before, _, _ := strings.Cut(text, "\nend\n")
	if before == text {
		return ""
	}
	return before
}
