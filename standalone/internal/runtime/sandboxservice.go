package runtime

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// runtimeService implements CRI's RuntimeService; the methods of sandboxes are in this file, those of containers,
// streams and statistics in theirs. What is not implemented answers Unimplemented, and the kubelet can do without.
type runtimeService struct {
	cri.UnimplementedRuntimeServiceServer
	*Server
}

// RunPodSandbox makes a pod and starts what it needs to hold containers.
func (r *runtimeService) RunPodSandbox(_ context.Context, req *cri.RunPodSandboxRequest) (*cri.RunPodSandboxResponse, error) {
	sb, err := r.newSandbox(req.GetConfig(), req.GetRuntimeHandler())
	if err != nil {
		return nil, err
	}
	r.config.Log.Info("pod sandbox runs", "pod", podName(sb.config), "sandbox", sb.id, "addresses", sb.addrs)
	return &cri.RunPodSandboxResponse{PodSandboxId: sb.id}, nil
}

// StopPodSandbox ends a pod; one that is unknown or stopped is no error.
func (r *runtimeService) StopPodSandbox(_ context.Context, req *cri.StopPodSandboxRequest) (*cri.StopPodSandboxResponse, error) {
	if sb, ok := r.findSandbox(req.GetPodSandboxId()); ok {
		return &cri.StopPodSandboxResponse{}, r.stopSandbox(sb)
	}
	return &cri.StopPodSandboxResponse{}, nil
}

// RemovePodSandbox ends and forgets a pod; one that is unknown is no error.
func (r *runtimeService) RemovePodSandbox(_ context.Context, req *cri.RemovePodSandboxRequest) (*cri.RemovePodSandboxResponse, error) {
	if sb, ok := r.findSandbox(req.GetPodSandboxId()); ok {
		return &cri.RemovePodSandboxResponse{}, r.removeSandbox(sb)
	}
	return &cri.RemovePodSandboxResponse{}, nil
}

// PodSandboxStatus describes a pod, with its addresses as long as it has them.
func (r *runtimeService) PodSandboxStatus(_ context.Context, req *cri.PodSandboxStatusRequest) (*cri.PodSandboxStatusResponse, error) {
	sb, ok := r.findSandbox(req.GetPodSandboxId())
	if !ok {
		return nil, status.Errorf(codes.NotFound, "pod sandbox %q is not known", req.GetPodSandboxId())
	}
	sb.mu.Lock()
	defer sb.mu.Unlock()
	network := &cri.PodSandboxNetworkStatus{}
	for i, addr := range sb.addrs {
		if i == 0 {
			network.Ip = addr.String()
			continue
		}
		network.AdditionalIps = append(network.AdditionalIps, &cri.PodIP{Ip: addr.String()})
	}
	resp := &cri.PodSandboxStatusResponse{Status: &cri.PodSandboxStatus{
		Id: sb.id, Metadata: sb.config.GetMetadata(), State: sb.state(), CreatedAt: sb.created.UnixNano(), Network: network,
		Linux:  &cri.LinuxPodSandboxStatus{Namespaces: &cri.Namespace{Options: namespaceOptions(sb.config)}},
		Labels: sb.config.GetLabels(), Annotations: sb.config.GetAnnotations(), RuntimeHandler: sb.handler,
	}}
	if req.GetVerbose() {
		resp.Info = verbose(sb.inspect())
	}
	return resp, nil
}

// ListPodSandbox lists the pods that match a filter, newest first.
func (r *runtimeService) ListPodSandbox(_ context.Context, req *cri.ListPodSandboxRequest) (*cri.ListPodSandboxResponse, error) {
	resp := &cri.ListPodSandboxResponse{}
	for _, sb := range r.sandboxList() {
		if item := sb.item(); matchSandbox(item, req.GetFilter()) {
			resp.Items = append(resp.Items, item)
		}
	}
	return resp, nil
}

func (sb *sandbox) item() *cri.PodSandbox {
	sb.mu.Lock()
	defer sb.mu.Unlock()
	return &cri.PodSandbox{
		Id: sb.id, Metadata: sb.config.GetMetadata(), State: sb.state(), CreatedAt: sb.created.UnixNano(),
		Labels: sb.config.GetLabels(), Annotations: sb.config.GetAnnotations(), RuntimeHandler: sb.handler,
	}
}

// state needs sb.mu.
func (sb *sandbox) state() cri.PodSandboxState {
	if sb.stopped {
		return cri.PodSandboxState_SANDBOX_NOTREADY
	}
	return cri.PodSandboxState_SANDBOX_READY
}

// inspect needs sb.mu. It says where a person finds the pod's namespaces: nsenter takes such paths.
func (sb *sandbox) inspect() map[string]any {
	info := map[string]any{"directory": sb.dir, "addresses": sb.addrs}
	if sb.link != nil {
		info["interface"] = sb.link.Name
	}
	if sb.namespaces.Net != nil {
		info["networkNamespace"] = descriptorPath(sb.namespaces.Net)
	}
	return info
}

func matchSandbox(item *cri.PodSandbox, f *cri.PodSandboxFilter) bool {
	return (f.GetId() == "" || f.GetId() == item.GetId()) &&
		(f.GetState() == nil || f.GetState().GetState() == item.GetState()) &&
		matchLabels(item.GetLabels(), f.GetLabelSelector())
}

func matchLabels(labels, want map[string]string) bool {
	for key, value := range want {
		if got, ok := labels[key]; !ok || got != value {
			return false
		}
	}
	return true
}

func (s *Server) findSandbox(id string) (*sandbox, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sb, ok := s.sandboxes[id]
	return sb, ok
}

// sandboxList is sorted by age, the newest first.
func (s *Server) sandboxList() []*sandbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*sandbox, 0, len(s.sandboxes))
	for _, sb := range s.sandboxes {
		list = append(list, sb)
	}
	slices.SortFunc(list, func(a, b *sandbox) int {
		return cmp.Or(b.created.Compare(a.created), cmp.Compare(a.id, b.id))
	})
	return list
}

func podName(config *cri.PodSandboxConfig) string {
	return config.GetMetadata().GetNamespace() + "/" + config.GetMetadata().GetName()
}

// verbose is the form in which CRI clients show what a runtime alone knows.
func verbose(info map[string]any) map[string]string {
	text, err := json.Marshal(info)
	if err != nil {
		return map[string]string{"error": err.Error()}
	}
	return map[string]string{"info": string(text)}
}
