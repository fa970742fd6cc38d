package route

import (
	"bytes"
	"errors"
)

// The errors of CleanPath; an engine answers each with 400.
var (
	ErrPathStart  = errors.New(`the path does not begin with "/"`)
	ErrPathEscape = errors.New("the path has a percent sign without two hexadecimal digits")
	ErrPathNUL    = errors.New("the path has a NUL")
	ErrPathRoot   = errors.New(`the path leaves the root by ".."`)
	ErrPathEnd    = errors.New(`the path has a "?" or "#"`)
)

// CleanPath returns the path of a request-target as it is matched: percent-decoded once, "." and ".." resolved, runs of slashes
// merged (RFC 3986 6.2.2, and as nginx does it with merge_slashes on). An encoded slash or dot counts as one; an encoded percent
// sign, question mark or number sign stands for itself. raw is without query.
//
// The result is raw itself where there is nothing to do; else it is written to buf[:0], which grows if it has no room.
func CleanPath(raw, buf []byte) ([]byte, error) {
	if len(raw) == 0 || raw[0] != '/' {
		return nil, ErrPathStart
	}
	if isClean(raw) {
		return raw, nil
	}
	c := cleaner{out: append(buf[:0], '/')}
	for i := 1; i < len(raw); i++ {
		b := raw[i]
		switch b {
		case '?', '#':
			return nil, ErrPathEnd
		case 0:
			return nil, ErrPathNUL
		case '/':
			if err := c.slash(); err != nil {
				return nil, err
			}
			continue
		case '%':
			if i+2 >= len(raw) {
				return nil, ErrPathEscape
			}
			high, low := unhex(raw[i+1]), unhex(raw[i+2])
			if high < 0 || low < 0 {
				return nil, ErrPathEscape
			}
			i += 2
			b = byte(high<<4 | low)
			switch b {
			case 0:
				return nil, ErrPathNUL
			case '/':
				if err := c.slash(); err != nil {
					return nil, err
				}
				continue
			}
		}
		c.out = append(c.out, b)
	}
	if err := c.end(); err != nil {
		return nil, err
	}
	return c.out, nil
}

// isClean reports whether a path that begins with a slash is what CleanPath makes of it.
func isClean(raw []byte) bool {
	for _, b := range []byte("%?#\x00") {
		if bytes.IndexByte(raw, b) >= 0 {
			return false
		}
	}
	for rest := raw; ; {
		i := bytes.IndexByte(rest, '/')
		if i < 0 {
			return true
		}
		rest = rest[i+1:]
		if len(rest) > 0 && (rest[0] == '/' || rest[0] == '.' && dots(element(rest))) {
			return false
		}
	}
}

// element returns the first element of a path without its leading slash.
func element(rest []byte) []byte {
	if i := bytes.IndexByte(rest, '/'); i >= 0 {
		return rest[:i]
	}
	return rest
}

// dots reports whether an element is "." or "..".
func dots(element []byte) bool {
	return len(element) == 1 && element[0] == '.' || len(element) == 2 && element[0] == '.' && element[1] == '.'
}

// cleaner writes a path whose last, open element begins after the last slash of out.
type cleaner struct{ out []byte }

// slash closes the open element.
func (c *cleaner) slash() error {
	if err := c.end(); err != nil {
		return err
	}
	if c.out[len(c.out)-1] != '/' {
		c.out = append(c.out, '/')
	}
	return nil
}

// end resolves the open element if it is "." or "..".
func (c *cleaner) end() error {
	start := bytes.LastIndexByte(c.out, '/') + 1
	open := c.out[start:]
	if !dots(open) {
		return nil
	}
	c.out = c.out[:start]
	if len(open) == 1 {
		return nil
	}
	if start == 1 {
		return ErrPathRoot
	}
	c.out = c.out[:bytes.LastIndexByte(c.out[:start-1], '/')+1]
	return nil
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
