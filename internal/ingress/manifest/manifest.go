// Package manifest reads manifests of Kubernetes, as `kubectl apply` takes them, into the facts that an entry is made of.
package manifest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/source"
)

// Objects are what was read.
type Objects struct {
	Snapshot model.Snapshot
	// Places says where each Ingress was written: "FILE" or "FILE, document N".
	Places map[model.Ref]string
	// Errors are documents that could not be read, each with its place.
	Errors []error
	// Skipped counts the documents of other kinds.
	Skipped int

	slices  map[model.Ref][]*model.EndpointSlice
	ordinal int
}

// Read reads files, and the files below directories whose names end in .yaml, .yml or .json; "-" is standard input. Documents of kinds
// that an entry is not made of are skipped. An error is one of a path as such; Objects.Errors has those of documents.
//
// An Ingress without creationTimestamp counts as created after those before it, in the order of paths and documents.
func Read(paths ...string) (*Objects, error) {
	o := &Objects{Places: map[model.Ref]string{}, slices: map[model.Ref][]*model.EndpointSlice{}}
	for _, path := range paths {
		if path == "-" {
			o.read("standard input", os.Stdin)
			continue
		}
		files, err := filesOf(path)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			f, err := os.Open(file)
			if err != nil {
				return nil, fmt.Errorf("read manifests: %w", err)
			}
			o.read(file, f)
			if err := f.Close(); err != nil {
				return nil, fmt.Errorf("read manifests: %w", err)
			}
		}
	}
	for ref, list := range o.slices {
		slices.SortFunc(list, func(a, b *model.EndpointSlice) int { return strings.Compare(a.Ref.Name, b.Ref.Name) })
		o.Snapshot.Slices = o.Snapshot.Slices.With(ref, list)
	}
	return o, nil
}

// filesOf returns a file, or the manifests below a directory in order.
func filesOf(path string) ([]string, error) {
	var out []string
	err := filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return nil
		}
		if name == path || slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(filepath.Ext(name))) {
			out = append(out, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read manifests: %w", err)
	}
	return out, nil
}

// read reads the documents of one file.
func (o *Objects) read(name string, from io.Reader) {
	docs := utilyaml.NewYAMLReader(bufio.NewReader(from))
	for n := 1; ; n++ {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		place := name
		if n > 1 {
			place = fmt.Sprintf("%s, document %d", name, n)
		}
		if err != nil {
			o.Errors = append(o.Errors, fmt.Errorf("%s: %w", place, err))
			return
		}
		o.document(place, doc)
	}
}

// document reads one document, or the items of a list.
func (o *Objects) document(place string, doc []byte) {
	if len(bytes.TrimSpace(doc)) == 0 {
		return
	}
	var list struct {
		APIVersion, Kind string
		Items            []runtime.RawExtension
	}
	if err := yaml.Unmarshal(doc, &list); err != nil {
		o.Errors = append(o.Errors, fmt.Errorf("%s: %w", place, err))
		return
	}
	if list.Kind == "" {
		return // comments alone, or no manifest
	}
	if strings.HasSuffix(list.Kind, "List") {
		for _, item := range list.Items {
			o.document(place, item.Raw)
		}
		return
	}
	if err := o.object(place, list.APIVersion, list.Kind, doc); err != nil {
		o.Errors = append(o.Errors, fmt.Errorf("%s: %w", place, err))
	}
}

func (o *Objects) object(place, version, kind string, doc []byte) error {
	s := &o.Snapshot
	switch version + " " + kind {
	case "networking.k8s.io/v1 Ingress":
		return o.ingress(place, doc)
	case "extensions/v1beta1 Ingress", "networking.k8s.io/v1beta1 Ingress":
		return fmt.Errorf("an Ingress of %s, which no Kubernetes since 1.22 serves; convert it to networking.k8s.io/v1 (kubectl convert)", version)
	case "networking.k8s.io/v1 IngressClass":
		return decode(doc, func(x *networkingv1.IngressClass) {
			s.IngressClasses = s.IngressClasses.With(x.Name, source.IngressClass(x))
		})
	case "v1 Service":
		return decode(doc, func(x *corev1.Service) {
			x.Namespace = orDefault(x.Namespace)
			defaultPorts(x)
			v := source.Service(x)
			s.Services = s.Services.With(v.Ref, v)
		})
	case "discovery.k8s.io/v1 EndpointSlice":
		return decode(doc, func(x *discoveryv1.EndpointSlice) {
			x.Namespace = orDefault(x.Namespace)
			if v := source.EndpointSlice(x); v != nil {
				ref := model.Ref{Namespace: v.Ref.Namespace, Name: v.Service}
				o.slices[ref] = append(o.slices[ref], v)
			}
		})
	case "v1 Secret":
		return decode(doc, func(x *corev1.Secret) {
			x.Namespace = orDefault(x.Namespace)
			v := source.Secret(x)
			s.Secrets = s.Secrets.With(v.Ref, v)
		})
	case "v1 ConfigMap":
		return decode(doc, func(x *corev1.ConfigMap) {
			x.Namespace = orDefault(x.Namespace)
			v := source.ConfigMap(x)
			s.ConfigMaps = s.ConfigMaps.With(v.Ref, v)
		})
	}
	o.Skipped++
	return nil
}

func (o *Objects) ingress(place string, doc []byte) error {
	return decode(doc, func(x *networkingv1.Ingress) {
		x.Namespace = orDefault(x.Namespace)
		v := source.Ingress(x)
		o.ordinal++
		if v.Created.IsZero() {
			v.Created = time.Unix(int64(o.ordinal), 0).UTC()
		}
		o.Snapshot.Ingresses = o.Snapshot.Ingresses.With(v.Ref, v)
		o.Places[v.Ref] = place
	})
}

// decode reads an object strictly: a field that the API does not have is an error, as it is a mistake of the writer.
func decode[T any](doc []byte, use func(*T)) error {
	var x T
	if err := yaml.UnmarshalStrict(doc, &x); err != nil {
		return fmt.Errorf("%w", err)
	}
	use(&x)
	return nil
}

func orDefault(namespace string) string {
	if namespace == "" {
		return "default"
	}
	return namespace
}

// defaultPorts does what the API server does with ports that leave out the obvious.
func defaultPorts(x *corev1.Service) {
	for i := range x.Spec.Ports {
		p := &x.Spec.Ports[i]
		if p.Protocol == "" {
			p.Protocol = corev1.ProtocolTCP
		}
		if p.TargetPort.IntVal == 0 && p.TargetPort.StrVal == "" {
			p.TargetPort.IntVal = p.Port
		}
	}
}
