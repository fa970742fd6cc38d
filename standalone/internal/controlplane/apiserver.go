package controlplane

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/pflag"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"

	"github.com/switchyard-net/switchyard/standalone/internal/cluster"
)

// apiServerArgs returns the command line that kube-apiserver would be given. The aggregation layer, webhooks and the
// proxy subresources reach their backends by pod address, because no service proxy runs in the control plane's namespace.
func apiServerArgs(spec *cluster.Spec) []string {
	certificate := func(name string) string { return spec.PKIFile(name + ".crt") }
	key := func(name string) string { return spec.PKIFile(name + ".key") }
	return []string{
		"--etcd-servers=" + etcdURL,
		"--advertise-address=" + cluster.ControlPlaneAddress().V4.String(),
		"--bind-address=::",
		"--secure-port=" + strconv.Itoa(cluster.APIPort),
		"--tls-cert-file=" + certificate(cluster.APIServerName),
		"--tls-private-key-file=" + key(cluster.APIServerName),
		"--client-ca-file=" + certificate(cluster.CAName),
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--anonymous-auth=false",
		"--profiling=false",
		"--allow-privileged=true",
		"--service-cluster-ip-range=" + cluster.ServiceCIDRs,
		"--service-account-issuer=https://kubernetes.default.svc." + cluster.ClusterDomain,
		"--service-account-signing-key-file=" + key(cluster.ServiceAccountsName),
		"--service-account-key-file=" + spec.PKIFile(cluster.ServiceAccountsName+".pub"),
		"--kubelet-client-certificate=" + certificate(cluster.KubeletClientName),
		"--kubelet-client-key=" + key(cluster.KubeletClientName),
		"--kubelet-certificate-authority=" + certificate(cluster.CAName),
		"--kubelet-preferred-address-types=InternalIP",
		"--requestheader-client-ca-file=" + certificate(cluster.FrontProxyCAName),
		"--requestheader-allowed-names=" + cluster.FrontProxyName,
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + certificate(cluster.FrontProxyName),
		"--proxy-client-key-file=" + key(cluster.FrontProxyName),
		"--enable-aggregator-routing=true",
		// An upgrade or a stop of this one server is not to wait for anybody.
		"--shutdown-delay-duration=0s",
	}
}

// newAPIServer parses the command line. It must come before any component of the process completes its options: they
// share their feature gates.
func newAPIServer(spec *cluster.Spec) (*options.ServerRunOptions, error) {
	o := options.NewServerRunOptions()
	flags := pflag.NewFlagSet("kube-apiserver", pflag.ContinueOnError)
	for _, set := range o.Flags().FlagSets {
		flags.AddFlagSet(set)
	}
	if err := flags.Parse(apiServerArgs(spec)); err != nil {
		return nil, fmt.Errorf("parse the flags of kube-apiserver: %w", err)
	}
	return o, nil
}

// runAPIServer serves the API until the context ends.
func runAPIServer(ctx context.Context, o *options.ServerRunOptions) error {
	completed, err := o.Complete(ctx)
	if err != nil {
		return fmt.Errorf("complete the options of kube-apiserver: %w", err)
	}
	if errs := completed.Validate(); len(errs) > 0 {
		return fmt.Errorf("check the options of kube-apiserver: %w", utilerrors.NewAggregate(errs))
	}
	if err := app.Run(ctx, completed); err != nil {
		return fmt.Errorf("run kube-apiserver: %w", err)
	}
	return nil
}
