package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"go.etcd.io/etcd/server/v3/embed"
)

// etcdURL is where etcd answers. The loopback is that of the control plane's namespace, which nothing else enters.
const etcdURL = "http://127.0.0.1:2379"

// etcdPeerURL is where etcd would answer its peers. It has none, but must listen.
const etcdPeerURL = "http://127.0.0.1:2380"

// runEtcd serves the data in dir and calls ready as soon as it answers. It returns when the context ends, with
// everything on disk.
func runEtcd(ctx context.Context, dir string, ready func()) error {
	config := embed.NewConfig()
	config.Dir = dir
	config.LogLevel = "warn"
	config.LogOutputs = []string{"stderr"}
	client, err := url.Parse(etcdURL)
	if err != nil {
		return err
	}
	peer, err := url.Parse(etcdPeerURL)
	if err != nil {
		return err
	}
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	// A single member waits for nobody: a short election timeout only makes it ready sooner. In milliseconds.
	config.TickMs, config.ElectionMs = 10, 100
	// Keep the last five minutes of history; the API server asks for compaction at the same interval.
	config.AutoCompactionMode, config.AutoCompactionRetention = "periodic", "5m"
	server, err := embed.StartEtcd(config)
	if err != nil {
		return fmt.Errorf("start etcd on %s: %w", dir, err)
	}
	defer server.Close()
	select {
	case <-server.Server.ReadyNotify():
		ready()
	case <-server.Server.StopNotify():
		return errors.New("etcd stopped while it started")
	case err := <-server.Err():
		return fmt.Errorf("serve etcd: %w", err)
	case <-ctx.Done():
		return nil
	}
	select {
	case <-server.Server.StopNotify():
		return errors.New("etcd stopped")
	case err := <-server.Err():
		return fmt.Errorf("serve etcd: %w", err)
	case <-ctx.Done():
		return nil
	}
}
