package controlplane

import (
	"context"
	"fmt"
	"log/slog"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/switchyard-net/switchyard/internal/endpoints"
	"github.com/switchyard-net/switchyard/standalone/internal/cluster"
)

// runEndpoints runs Switchyard's endpoints controllers, in the place of upstream's three, until the context ends. There is
// one control plane, so nobody to elect a leader from.
func runEndpoints(ctx context.Context, spec *cluster.Spec, log *slog.Logger) error {
	config, err := clientcmd.BuildConfigFromFlags("", spec.ComponentKubeconfig(cluster.ControllerUser))
	if err != nil {
		return fmt.Errorf("load the controllers' kubeconfig: %w", err)
	}
	config.QPS, config.Burst = 500, 1000
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	controllers, err := endpoints.New(endpoints.Defaults(), endpoints.Deps{Client: client, Log: log})
	if err != nil {
		return err
	}
	return controllers.Run(ctx)
}
