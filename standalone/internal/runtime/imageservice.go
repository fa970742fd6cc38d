package runtime

import (
	"context"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// imagePrefix makes an image ID of an image name.
const imagePrefix = "process:"

func imageID(name string) string { return imagePrefix + name }

func imageName(id string) string { return strings.TrimPrefix(id, imagePrefix) }

// imageService implements CRI's ImageService. CRI does not say, when an image is pulled, whether the container has a
// command of its own and needs no image: so every image is there, until CreateContainer finds that a pod's container
// needed the table to know it. From then on, for that pod, pulling it fails.
type imageService struct {
	cri.UnimplementedImageServiceServer
	*Server
}

// rememberMissing notes that a container of a pod needs an image that stands for nothing.
func (s *Server) rememberMissing(podUID, image string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.missing[podUID] == nil {
		s.missing[podUID] = map[string]bool{}
	}
	s.missing[podUID][tagged(image)] = true
}

// tagged completes a name as the kubelet does before it asks for an image.
func tagged(name string) string {
	if strings.Contains(name, "@") || strings.LastIndex(name, ":") > strings.LastIndex(name, "/") {
		return name
	}
	return name + ":latest"
}

// ListImages lists the images that were used since the start.
func (i *imageService) ListImages(_ context.Context, req *cri.ListImagesRequest) (*cri.ListImagesResponse, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	resp := &cri.ListImagesResponse{}
	for _, name := range slices.Sorted(maps.Keys(i.seen)) {
		if want := req.GetFilter().GetImage().GetImage(); want == "" || imageName(want) == name {
			resp.Images = append(resp.Images, image(name))
		}
	}
	return resp, nil
}

// ImageStatus finds every image but those that some pod could not do without.
func (i *imageService) ImageStatus(_ context.Context, req *cri.ImageStatusRequest) (*cri.ImageStatusResponse, error) {
	name := imageName(req.GetImage().GetImage())
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, images := range i.missing {
		if images[tagged(name)] {
			return &cri.ImageStatusResponse{}, nil
		}
	}
	i.seen[name] = true
	return &cri.ImageStatusResponse{Image: image(name)}, nil
}

// PullImage fails for a pod one of whose containers could not do without the image.
func (i *imageService) PullImage(_ context.Context, req *cri.PullImageRequest) (*cri.PullImageResponse, error) {
	name := imageName(req.GetImage().GetImage())
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.missing[req.GetSandboxConfig().GetMetadata().GetUid()][tagged(name)] {
		return nil, status.Errorf(codes.NotFound, "image %s %v", name, ErrNoCommand)
	}
	i.seen[name] = true
	return &cri.PullImageResponse{ImageRef: imageID(name)}, nil
}

// RemoveImage forgets that an image was used.
func (i *imageService) RemoveImage(_ context.Context, req *cri.RemoveImageRequest) (*cri.RemoveImageResponse, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.seen, imageName(req.GetImage().GetImage()))
	return &cri.RemoveImageResponse{}, nil
}

// ImageFsInfo names the file systems; images take no space.
func (i *imageService) ImageFsInfo(context.Context, *cri.ImageFsInfoRequest) (*cri.ImageFsInfoResponse, error) {
	usage := func(dir string) []*cri.FilesystemUsage {
		return []*cri.FilesystemUsage{{
			Timestamp: time.Now().UnixNano(), FsId: &cri.FilesystemIdentifier{Mountpoint: dir},
			UsedBytes: &cri.UInt64Value{}, InodesUsed: &cri.UInt64Value{},
		}}
	}
	return &cri.ImageFsInfoResponse{
		ImageFilesystems: usage(i.config.Root), ContainerFilesystems: usage(filepath.Join(i.config.Root, containersDir)),
	}, nil
}

// image describes an image; CRI clients take a size of 0 for an error.
func image(name string) *cri.Image {
	return &cri.Image{
		Id: imageID(name), RepoTags: []string{name}, Size: 1, Uid: &cri.Int64Value{},
		Spec: &cri.ImageSpec{Image: name},
	}
}
