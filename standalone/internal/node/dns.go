package node

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/tools/cache"

	"github.com/switchyard-net/switchyard/internal/dns/server"
	"github.com/switchyard-net/switchyard/internal/events"
	switchyard "github.com/switchyard-net/switchyard/internal/node"
	"github.com/switchyard-net/switchyard/internal/source"
	"github.com/switchyard-net/switchyard/standalone/internal/cluster"
)

const (
	// corefileRetry is the pause before the ConfigMap is followed again after a failure.
	corefileRetry = 5 * time.Second
	// corefilePatience is how long the service proxy waits for it.
	corefilePatience = 5 * time.Second
)

// writeResolver writes the resolv.conf of a node, and returns its path. Names outside of the cluster are for whatever name server the
// client outside runs; if it runs none, its kernel refuses the question at once.
func writeResolver(spec *cluster.Spec, name string) (string, error) {
	dir := spec.Node(name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	file := filepath.Join(dir, "resolv.conf")
	return file, os.WriteFile(file, fmt.Appendf(nil, "nameserver %s\n", cluster.ClientAddress().V4), 0o644)
}

// CheckCorefile returns an error that says where a Corefile is wrong. Empty is the cluster's own.
func CheckCorefile(file string) error {
	if file == "" {
		return nil
	}
	_, err := server.Config{Corefile: file}.Check(source.ParseSelector)
	return err
}

// corefileDir is where a node has the Corefile, with the other keys of its ConfigMap beside it.
func corefileDir(spec *cluster.Spec, name string) string {
	return filepath.Join(spec.Node(name), "dns")
}

func corefilePath(spec *cluster.Spec, name string) string {
	return filepath.Join(corefileDir(spec, name), cluster.CorefileKey)
}

// corefile keeps a node's Corefile equal to what the ConfigMap says, and says on the ConfigMap what has become of it.
type corefile struct {
	spec    *cluster.Spec
	node    string
	log     *slog.Logger
	changed chan struct{}
	events  *events.Recorder // nil until follow

	mu        sync.Mutex
	configMap *corev1.ConfigMap // the last one
}

func newCorefile(spec *cluster.Spec, name string, log *slog.Logger) *corefile {
	return &corefile{spec: spec, node: name, log: log, changed: make(chan struct{}, 1)}
}

// deps connect it with the name server.
func (c *corefile) deps() switchyard.CorefileDeps {
	return switchyard.CorefileDeps{Changed: c.changed, Tried: c.tried, KeepAll: true}
}

// await returns when the ConfigMap can be read, which is made, with the permission for it, when the control plane starts: before, every
// attempt to read it, and what else a name server reads, would be refused, and not be made again at once. It waits for some seconds only:
// the service proxy is needed in any case.
func (c *corefile) await(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, corefilePatience)
	defer cancel()
	client, err := proxyClient(c.spec)
	if err != nil {
		return // as follow will say
	}
	for ctx.Err() == nil {
		if _, err := client.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, cluster.DNSConfigMap, metav1.GetOptions{}); err == nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(readyPoll):
		}
	}
}

// follow follows the ConfigMap until the context ends.
func (c *corefile) follow(ctx context.Context) {
	for {
		err := c.followOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		c.log.Error("the ConfigMap of the cluster DNS is not followed, trying again", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(corefileRetry):
		}
	}
}

// followOnce follows the ConfigMap until the context ends, or fails before it has begun to.
func (c *corefile) followOnce(ctx context.Context) error {
	client, err := proxyClient(c.spec)
	if err != nil {
		return err
	}
	recorder := events.New(events.Config{NodeName: c.node}, events.Deps{Client: client, Log: c.log})
	c.mu.Lock()
	c.events = recorder
	c.mu.Unlock()
	var recording sync.WaitGroup
	recording.Go(func() { _ = recorder.Run(ctx) }) // which ends with the context alone
	defer recording.Wait()
	only := fields.OneTermEqualSelector(metav1.ObjectNameField, cluster.DNSConfigMap)
	_, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: cache.NewListWatchFromClient(client.CoreV1().RESTClient(), "configmaps", metav1.NamespaceSystem, only),
		ObjectType:    &corev1.ConfigMap{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(object any) { c.take(object) },
			UpdateFunc: func(_, object any) { c.take(object) },
		},
	})
	informer.RunWithContext(ctx)
	return nil
}

// take writes the files of the ConfigMap, and tells the name server of them. A ConfigMap that is deleted leaves the files as they are.
func (c *corefile) take(object any) {
	configMap, ok := object.(*corev1.ConfigMap)
	if !ok {
		return
	}
	c.mu.Lock()
	c.configMap = configMap
	c.mu.Unlock()
	if err := writeFiles(corefileDir(c.spec, c.node), configMap); err != nil {
		c.log.Error("write the files of the cluster DNS", "error", err)
		return
	}
	select {
	case c.changed <- struct{}{}:
	default: // it is to look already
	}
}

// writeFiles makes a directory hold a file for each key, the Corefile last.
func writeFiles(dir string, configMap *corev1.ConfigMap) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if _, ok := configMap.Data[entry.Name()]; !ok {
			if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	for key, text := range configMap.Data {
		if key == cluster.CorefileKey {
			continue
		}
		if err := replaceFile(filepath.Join(dir, key), text); err != nil {
			return err
		}
	}
	return replaceFile(filepath.Join(dir, cluster.CorefileKey), configMap.Data[cluster.CorefileKey])
}

// replaceFile writes a file so that a reader never sees half of it. (No key of a ConfigMap has a '~'.)
func replaceFile(file, text string) error {
	if err := os.WriteFile(file+"~", []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(file+"~", file)
}

// tried says on the ConfigMap what has become of a Corefile.
func (c *corefile) tried(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.configMap == nil || c.events == nil:
	case err != nil:
		c.events.ConfigMapEvent(c.configMap, corev1.EventTypeWarning, "CorefileRefused", c.node+": "+err.Error())
	default:
		c.events.ConfigMapEvent(c.configMap, corev1.EventTypeNormal, "CorefileServed", c.node+" serves the new Corefile")
	}
}
