package runtime

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// CreateContainer prepares a container; one without anything to execute fails with ErrNoCommand.
func (r *runtimeService) CreateContainer(_ context.Context, req *cri.CreateContainerRequest) (*cri.CreateContainerResponse, error) {
	sb, ok := r.findSandbox(req.GetPodSandboxId())
	if !ok {
		return nil, status.Errorf(codes.NotFound, "pod sandbox %q is not known", req.GetPodSandboxId())
	}
	if req.GetConfig().GetMetadata() == nil {
		return nil, status.Error(codes.InvalidArgument, "the container has no metadata")
	}
	c, err := r.newContainer(sb, req.GetConfig())
	if err != nil {
		return nil, err
	}
	return &cri.CreateContainerResponse{ContainerId: c.id}, nil
}

// StartContainer executes the command; it fails if the command is not found or the file system cannot be made.
func (r *runtimeService) StartContainer(ctx context.Context, req *cri.StartContainerRequest) (*cri.StartContainerResponse, error) {
	c, err := r.mustContainer(req.GetContainerId())
	if err != nil {
		return nil, err
	}
	return &cri.StartContainerResponse{}, r.start(ctx, c)
}

// StopContainer ends a container within its grace period; one that is unknown or has ended is no error.
func (r *runtimeService) StopContainer(ctx context.Context, req *cri.StopContainerRequest) (*cri.StopContainerResponse, error) {
	c, ok := r.findContainer(req.GetContainerId())
	if !ok {
		return &cri.StopContainerResponse{}, nil
	}
	return &cri.StopContainerResponse{}, c.stop(ctx, time.Duration(req.GetTimeout())*time.Second)
}

// RemoveContainer kills and forgets a container; one that is unknown is no error.
func (r *runtimeService) RemoveContainer(_ context.Context, req *cri.RemoveContainerRequest) (*cri.RemoveContainerResponse, error) {
	c, ok := r.findContainer(req.GetContainerId())
	if !ok {
		return &cri.RemoveContainerResponse{}, nil
	}
	return &cri.RemoveContainerResponse{}, r.removeContainer(c)
}

// ReopenContainerLog goes on in a new file after the kubelet renamed the log.
func (r *runtimeService) ReopenContainerLog(_ context.Context, req *cri.ReopenContainerLogRequest) (*cri.ReopenContainerLogResponse, error) {
	c, err := r.mustContainer(req.GetContainerId())
	if err != nil {
		return nil, err
	}
	if _, ok := c.running(); !ok {
		return nil, status.Errorf(codes.FailedPrecondition, "container %s does not run", c.name())
	}
	return &cri.ReopenContainerLogResponse{}, c.output.reopen()
}

// UpdateContainerResources succeeds and changes nothing: processes here have no limits (README.md, "Limits").
func (r *runtimeService) UpdateContainerResources(_ context.Context, req *cri.UpdateContainerResourcesRequest) (*cri.UpdateContainerResourcesResponse, error) {
	_, err := r.mustContainer(req.GetContainerId())
	return &cri.UpdateContainerResourcesResponse{}, err
}

// ListContainers lists the containers that match a filter, newest first.
func (r *runtimeService) ListContainers(_ context.Context, req *cri.ListContainersRequest) (*cri.ListContainersResponse, error) {
	resp := &cri.ListContainersResponse{}
	for _, c := range r.containerList() {
		if item := c.item(); matchContainer(item, req.GetFilter()) {
			resp.Containers = append(resp.Containers, item)
		}
	}
	return resp, nil
}

// ContainerStatus describes a container and, if it has ended, how.
func (r *runtimeService) ContainerStatus(_ context.Context, req *cri.ContainerStatusRequest) (*cri.ContainerStatusResponse, error) {
	c, err := r.mustContainer(req.GetContainerId())
	if err != nil {
		return nil, err
	}
	resp := &cri.ContainerStatusResponse{Status: c.status()}
	if req.GetVerbose() {
		info := map[string]any{"directory": c.dir, "args": c.args}
		if p, ok := c.running(); ok {
			info["pid"] = p.pid
		}
		resp.Info = verbose(info)
	}
	return resp, nil
}

func (c *container) item() *cri.Container {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &cri.Container{
		Id: c.id, PodSandboxId: c.sandbox.id, Metadata: c.config.GetMetadata(), Image: c.imageSpec(),
		ImageRef: imageID(c.image), ImageId: imageID(c.image), State: c.state, CreatedAt: c.created.UnixNano(),
		Labels: c.config.GetLabels(), Annotations: c.config.GetAnnotations(),
	}
}

func (c *container) status() *cri.ContainerStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	security := c.config.GetLinux().GetSecurityContext()
	return &cri.ContainerStatus{
		Id: c.id, Metadata: c.config.GetMetadata(), State: c.state, CreatedAt: c.created.UnixNano(),
		StartedAt: nanoseconds(c.started), FinishedAt: nanoseconds(c.finished), ExitCode: int32(c.exit),
		Reason: c.reason, Message: c.message,
		Image: c.imageSpec(), ImageRef: imageID(c.image), ImageId: imageID(c.image),
		Labels: c.config.GetLabels(), Annotations: c.config.GetAnnotations(), Mounts: c.config.GetMounts(), LogPath: c.logPath(),
		Resources: &cri.ContainerResources{Linux: c.config.GetLinux().GetResources()}, StopSignal: c.config.GetStopSignal(),
		User: &cri.ContainerUser{Linux: &cri.LinuxContainerUser{
			Uid: security.GetRunAsUser().GetValue(), Gid: security.GetRunAsGroup().GetValue(), SupplementalGroups: security.GetSupplementalGroups(),
		}},
	}
}

func (c *container) imageSpec() *cri.ImageSpec {
	return &cri.ImageSpec{Image: c.image, UserSpecifiedImage: c.image}
}

func (c *container) logPath() string {
	if c.sandbox.config.GetLogDirectory() == "" || c.config.GetLogPath() == "" {
		return ""
	}
	return c.sandbox.config.GetLogDirectory() + "/" + c.config.GetLogPath()
}

// nanoseconds is CRI's form of a time; 0 for one that has not come.
func nanoseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func matchContainer(item *cri.Container, f *cri.ContainerFilter) bool {
	return (f.GetId() == "" || f.GetId() == item.GetId()) &&
		(f.GetPodSandboxId() == "" || f.GetPodSandboxId() == item.GetPodSandboxId()) &&
		(f.GetState() == nil || f.GetState().GetState() == item.GetState()) &&
		matchLabels(item.GetLabels(), f.GetLabelSelector())
}

func (s *Server) findContainer(id string) (*container, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.containers[id]
	return c, ok
}

func (s *Server) mustContainer(id string) (*container, error) {
	c, ok := s.findContainer(id)
	if !ok {
		return nil, status.Errorf(codes.NotFound, "container %q is not known", id)
	}
	return c, nil
}

// containerList is sorted by age, the newest first.
func (s *Server) containerList() []*container {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*container, 0, len(s.containers))
	for _, c := range s.containers {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *container) int {
		return cmp.Or(b.created.Compare(a.created), cmp.Compare(a.id, b.id))
	})
	return list
}

func (s *Server) containersOf(sandboxID string) []*container {
	return slices.DeleteFunc(s.containerList(), func(c *container) bool { return c.sandbox.id != sandboxID })
}

// descriptorPath is a path by which other processes can use an open file of this one.
func descriptorPath(f *os.File) string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd()) }
