package http2

import "time"

// Limits bound what a peer may ask of a connection. Zero fields take the default.
type Limits struct {
	// Streams is how many exchanges may be open at the same time. Default 128.
	Streams int
	// HeaderList is the size of a field section as RFC 9113 6.5.2 counts it, in bytes. Default 32 KiB.
	HeaderList int
	// StreamWindow and ConnWindow are how many bytes of bodies are taken before they are passed on. Defaults 256 KiB, 1 MiB.
	StreamWindow, ConnWindow int
	// Requests is after how many exchanges a connection is drained. Default 10000.
	Requests int
	// Idle is how long a connection without exchanges is kept. Default 75 s.
	Idle time.Duration
	// Header bounds the time from the first byte of a frame or field section to its last. Default 60 s.
	Header time.Duration
	// Read is the longest silence of a body that is waited for, Send the longest time without room for more data. Defaults 60 s.
	Read, Send time.Duration
	// Ping is after which silence the peer of an open exchange is asked whether it is there; it has Idle, or 20 s if that is
	// less, to answer. Default 60 s.
	Ping time.Duration
}

// pingPatience is how long an answer to our PING may take, at most.
const pingPatience = 20 * time.Second

func (l Limits) withDefaults() Limits {
	setDefault(&l.Streams, 128)
	setDefault(&l.HeaderList, 32<<10)
	setDefault(&l.StreamWindow, 256<<10)
	setDefault(&l.ConnWindow, 1<<20)
	setDefault(&l.Requests, 10000)
	setDefault(&l.Idle, 75*time.Second)
	setDefault(&l.Header, 60*time.Second)
	setDefault(&l.Read, 60*time.Second)
	setDefault(&l.Send, 60*time.Second)
	setDefault(&l.Ping, 60*time.Second)
	return l
}

func setDefault[T int | time.Duration](p *T, value T) {
	if *p <= 0 {
		*p = value
	}
}
