package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	checkHead = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: i\n  annotations: {nginx.ingress.kubernetes.io/"
	checkTail = "}\nspec: {defaultBackend: {service: {name: s, port: {number: 80}}}}\n"
)

// TestIngressCheckExitCodes: a script tells by the exit code whether somebody has to look.
func TestIngressCheckExitCodes(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	same := file("same.yaml", checkHead+"proxy-body-size: 8m"+checkTail)
	differs := file("differs.yaml", checkHead+`enable-modsecurity: "true"`+checkTail)
	breaks := file("breaks.yaml", checkHead+`whitelist-source-range: everybody`+checkTail)
	snippet := file("snippet.yaml", checkHead+`configuration-snippet: "add_header X y;"`+checkTail+
		"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: ingress-nginx-controller, namespace: i}\n"+
		`data: {allow-snippet-annotations: "true", annotations-risk-level: Critical}`)
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"-f " + same, exitOK, "1 Ingresses: 1 behave the same"},
		{"-f " + differs, exitDiffers, "enable-modsecurity: is not supported"},
		{"-f " + breaks, exitBreaks, "all its paths answer 503"},
		{"-f " + snippet, exitOK, "ConfigMap i/ingress-nginx-controller"},
		{"-f " + same + " -f " + differs + " -o json", exitDiffers, `"level": "differs"`},
		{"-f " + file("bad.yaml", "kind: ["), exitBreaks, "UNREAD"},
		{"-f " + same + " -o xml", exitUsage, "want json or yaml"},
		{"-f " + same + " --cluster", exitUsage, "either -f PATH or --cluster"},
		{"", exitUsage, "either -f PATH or --cluster"},
		{"-f " + filepath.Join(dir, "none"), exitUsage, "no such file"},
	} {
		var out, errs bytes.Buffer
		code := Main(append([]string{"ingress", "check"}, strings.Fields(c.args)...), &out, &errs)
		if code != c.code || !strings.Contains(out.String()+errs.String(), c.want) {
			t.Errorf("check %s: exit code %d, want %d; want %q in:\n%s%s", c.args, code, c.code, c.want, &out, &errs)
		}
	}
}
