package source

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/switchyard-net/switchyard/internal/model"
)

// Namespace returns the facts of o, nil for nil.
func Namespace(o *corev1.Namespace) *model.Namespace { return converter{keepLabels: true}.namespace(o) }

func (c converter) namespace(o *corev1.Namespace) *model.Namespace {
	if o == nil {
		return nil
	}
	return &model.Namespace{Name: o.Name, Labels: c.labels(o.Labels)}
}

// labels returns the packed labels, if they are to be kept.
func (c converter) labels(in map[string]string) model.Labels {
	if !c.keepLabels || len(in) == 0 {
		return ""
	}
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(in)) {
		b.WriteString(key + "\x00" + in[key] + "\x00")
	}
	return model.Labels(c.strings.of(b.String()))
}

// ParseSelector returns what a label selector, as kubectl takes it, says of labels. As in CoreDNS, the operators are
// those of the API's LabelSelector: = == in notin exists and !, without != > and <.
func ParseSelector(s string) (func(model.Labels) bool, error) {
	parsed, err := metav1.ParseToLabelSelector(s)
	if err != nil {
		return nil, fmt.Errorf("label selector %q: %w", s, err)
	}
	selector, err := metav1.LabelSelectorAsSelector(parsed)
	if err != nil {
		return nil, fmt.Errorf("label selector %q: %w", s, err)
	}
	return func(l model.Labels) bool { return selector.Matches(labels.Set(l.All())) }, nil
}
