package runtime

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Image is what an image name stands for on a machine without images.
type Image struct {
	// Command is the program and its first arguments. A container with a command of its own does not use it.
	Command []string `json:"command,omitempty"`
	// Args follow Command unless the container gives args.
	Args []string `json:"args,omitempty"`
	// Root is the directory that the container has as its file system, under a layer of its own for what it writes.
	// Empty is the host's /. A relative path starts at the file's directory.
	Root string `json:"root,omitempty"`
	// Env is the environment beside the container's, which wins.
	Env map[string]string `json:"env,omitempty"`
	// WorkDir is the working directory of a container that names none. Empty is /.
	WorkDir string `json:"workdir,omitempty"`
}

// Images is a table of image names. The zero value is empty; LoadImages returns one with the built-in entries.
type Images struct {
	entries map[string]Image // of the file
	builtin map[string]Image
}

// ErrNoCommand says that nothing tells which program a container is.
var ErrNoCommand = errors.New("stands for no command here: add it to the file given with --images or give the container a command")

// LoadImages reads a YAML file that maps image names to Images. A name may contain * for any characters; without a tag
// it holds for every tag. An empty file name gives the built-in entries alone: switchyard/echo and switchyard/ingress, nginx if it is
// installed, and the usual images of a shell. The file's entries come before them.
func LoadImages(file string) (Images, error) {
	self, err := os.Executable()
	if err != nil {
		return Images{}, fmt.Errorf("find this program's directory: %w", err)
	}
	images := Images{builtin: builtinImages(filepath.Dir(self))}
	if file == "" {
		return images, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return Images{}, fmt.Errorf("read the image table: %w", err)
	}
	if err := yaml.UnmarshalStrict(text, &images.entries); err != nil {
		return Images{}, fmt.Errorf("image table %s: %w", file, err)
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(images.entries)) {
		image := images.entries[name]
		if image.Root != "" && !filepath.IsAbs(image.Root) {
			image.Root = filepath.Join(filepath.Dir(file), image.Root)
		}
		if image.Root, err = absolute(image.Root); err != nil {
			errs = append(errs, err)
		}
		images.entries[name] = image
		errs = append(errs, image.validate(name))
	}
	if err := errors.Join(errs...); err != nil {
		return Images{}, fmt.Errorf("image table %s: %w", file, err)
	}
	return images, nil
}

func absolute(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	return filepath.Abs(path)
}

func (i Image) validate(name string) error {
	if len(i.Command) == 0 && i.Root == "" {
		return fmt.Errorf("%s: give a command or a root directory", name)
	}
	if i.WorkDir != "" && !filepath.IsAbs(i.WorkDir) {
		return fmt.Errorf("%s: workdir: %q is not an absolute path", name, i.WorkDir)
	}
	if i.Root == "" {
		return nil
	}
	if info, err := os.Stat(i.Root); err != nil {
		return fmt.Errorf("%s: root: %w", name, err)
	} else if !info.IsDir() {
		return fmt.Errorf("%s: root: %s is not a directory", name, i.Root)
	}
	return nil
}

// builtinImages finds our own binary beside the running one.
func builtinImages(dir string) map[string]Image {
	shell := Image{Command: []string{"sh"}}
	images := map[string]Image{
		"switchyard/echo":    {Command: []string{filepath.Join(dir, "switchyard"), "echo"}},
		"switchyard/ingress": {Command: []string{filepath.Join(dir, "switchyard"), "ingress"}},
		"busybox":            shell, "alpine": shell, "debian": shell, "ubuntu": shell,
	}
	if path, err := exec.LookPath("nginx"); err == nil {
		images["nginx"] = Image{Command: []string{path, "-g", "daemon off; error_log /dev/stderr;"}}
	}
	return images
}

// Lookup returns what name stands for.
func (i Images) Lookup(name string) (Image, bool) {
	for _, table := range []map[string]Image{i.entries, i.builtin} {
		for _, candidate := range nameForms(name) {
			if image, ok := table[candidate]; ok {
				return image, true
			}
		}
		for _, pattern := range byLength(table) {
			for _, candidate := range nameForms(name) {
				if globMatch(pattern, candidate) {
					return table[pattern], true
				}
			}
		}
	}
	return Image{}, false
}

// byLength sorts the names with a *, the most specific (longest) first.
func byLength(table map[string]Image) []string {
	patterns := slices.DeleteFunc(slices.Sorted(maps.Keys(table)), func(s string) bool { return !strings.Contains(s, "*") })
	slices.SortStableFunc(patterns, func(a, b string) int { return len(b) - len(a) })
	return patterns
}

// nameForms are the ways to write an image's name in the table, the most specific first: in full, without tag and
// digest, and both without the registry's host name and the "library/" that stands for none.
func nameForms(name string) []string {
	forms := []string{name}
	bare, _, _ := strings.Cut(name, "@")
	forms = append(forms, bare)
	if colon := strings.LastIndex(bare, ":"); colon > strings.LastIndex(bare, "/") {
		forms = append(forms, bare[:colon])
	}
	for _, form := range slices.Clone(forms) {
		if host, path, found := strings.Cut(form, "/"); found && strings.ContainsAny(host, ".:") {
			form = path
		}
		forms = append(forms, strings.TrimPrefix(form, "library/"))
	}
	return forms
}

// globMatch reports whether name matches pattern, in which * stands for any characters, / included.
func globMatch(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == name
	}
	rest, ok := strings.CutPrefix(name, parts[0])
	if !ok {
		return false
	}
	last := len(parts) - 1
	for _, part := range parts[1:last] {
		at := strings.Index(rest, part)
		if at < 0 {
			return false
		}
		rest = rest[at+len(part):]
	}
	return strings.HasSuffix(rest, parts[last])
}
