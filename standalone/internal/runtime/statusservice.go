package runtime

import (
	"context"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// What Version reports; the name is the scheme of container IDs in pod statuses.
const (
	runtimeName    = "switchyard"
	runtimeVersion = "1.0.0"
	criVersion     = "v1"
)

// Version names the runtime.
func (r *runtimeService) Version(context.Context, *cri.VersionRequest) (*cri.VersionResponse, error) {
	return &cri.VersionResponse{Version: "0.1.0", RuntimeName: runtimeName, RuntimeVersion: runtimeVersion, RuntimeApiVersion: criVersion}, nil
}

// Status is always ready: the network is made by this process, with the pod networks that it was started with.
func (r *runtimeService) Status(context.Context, *cri.StatusRequest) (*cri.StatusResponse, error) {
	return &cri.StatusResponse{
		Status: &cri.RuntimeStatus{Conditions: []*cri.RuntimeCondition{
			{Type: "RuntimeReady", Status: true}, {Type: "NetworkReady", Status: true},
		}},
		RuntimeHandlers: []*cri.RuntimeHandler{{Features: &cri.RuntimeHandlerFeatures{RecursiveReadOnlyMounts: true}}},
		Features:        &cri.RuntimeFeatures{SupplementalGroupsPolicy: true},
	}, nil
}

// RuntimeConfig tells the kubelet which cgroup driver to use; there are no cgroups.
func (r *runtimeService) RuntimeConfig(context.Context, *cri.RuntimeConfigRequest) (*cri.RuntimeConfigResponse, error) {
	return &cri.RuntimeConfigResponse{Linux: &cri.LinuxRuntimeConfiguration{CgroupDriver: cri.CgroupDriver_CGROUPFS}}, nil
}

// UpdateRuntimeConfig takes note of the node's pod network and does not need it: Config.PodCIDRs is decided before.
func (r *runtimeService) UpdateRuntimeConfig(_ context.Context, req *cri.UpdateRuntimeConfigRequest) (*cri.UpdateRuntimeConfigResponse, error) {
	r.config.Log.Debug("the kubelet reports the pod network", "podCIDR", req.GetRuntimeConfig().GetNetworkConfig().GetPodCidr())
	return &cri.UpdateRuntimeConfigResponse{}, nil
}
