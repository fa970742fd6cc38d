package http2

import "encoding/binary"

// frameType is the type of a frame (RFC 9113 section 6).
type frameType uint8

const (
	frameData         frameType = 0x0
	frameHeaders      frameType = 0x1
	framePriority     frameType = 0x2
	frameReset        frameType = 0x3
	frameSettings     frameType = 0x4
	framePushPromise  frameType = 0x5
	framePing         frameType = 0x6
	frameGoAway       frameType = 0x7
	frameWindowUpdate frameType = 0x8
	frameContinuation frameType = 0x9
)

// The flags of frames. That of ACK has the bit of END_STREAM.
const (
	flagEndStream  = 0x1
	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

const (
	// frameHeaderSize is how many bytes precede each payload.
	frameHeaderSize = 9
	// maxFrameSize is the largest payload that is accepted and sent: SETTINGS_MAX_FRAME_SIZE's initial value.
	maxFrameSize = 16384
	// maxWindow is the largest flow-control window (RFC 9113 6.9.1).
	maxWindow = 1<<31 - 1
	// initialWindow is that of each stream and connection before any SETTINGS or WINDOW_UPDATE.
	initialWindow = 65535
)

// frameHeader is what precedes a payload.
type frameHeader struct {
	length   int
	typ      frameType
	flags    uint8
	streamID uint32
}

func (h frameHeader) has(flag uint8) bool { return h.flags&flag != 0 }

// parseFrameHeader reads the first nine bytes of b. The reserved bit is ignored.
func parseFrameHeader(b []byte) frameHeader {
	_ = b[8]
	return frameHeader{
		length:   int(b[0])<<16 | int(b[1])<<8 | int(b[2]),
		typ:      frameType(b[3]),
		flags:    b[4],
		streamID: binary.BigEndian.Uint32(b[5:]) & maxWindow,
	}
}

// appendFrameHeader appends the header of a frame whose payload follows.
func appendFrameHeader(b []byte, h frameHeader) []byte {
	return append(b, byte(h.length>>16), byte(h.length>>8), byte(h.length), byte(h.typ), h.flags,
		byte(h.streamID>>24), byte(h.streamID>>16), byte(h.streamID>>8), byte(h.streamID))
}

func appendReset(b []byte, id uint32, code Code) []byte {
	b = appendFrameHeader(b, frameHeader{length: 4, typ: frameReset, streamID: id})
	return binary.BigEndian.AppendUint32(b, uint32(code))
}

func appendWindowUpdate(b []byte, id uint32, n int) []byte {
	b = appendFrameHeader(b, frameHeader{length: 4, typ: frameWindowUpdate, streamID: id})
	return binary.BigEndian.AppendUint32(b, uint32(n))
}

func appendGoAway(b []byte, last uint32, code Code, reason string) []byte {
	b = appendFrameHeader(b, frameHeader{length: 8 + len(reason), typ: frameGoAway})
	b = binary.BigEndian.AppendUint32(b, last)
	b = binary.BigEndian.AppendUint32(b, uint32(code))
	return append(b, reason...)
}

func appendPing(b []byte, flags uint8, data [8]byte) []byte {
	b = appendFrameHeader(b, frameHeader{length: 8, typ: framePing, flags: flags})
	return append(b, data[:]...)
}

// unpad returns the payload of a frame without its padding.
func unpad(h frameHeader, payload []byte) ([]byte, error) {
	if !h.has(flagPadded) {
		return payload, nil
	}
	if len(payload) == 0 {
		return nil, connError{codeFrameSize, "a padded frame without the length of its padding"}
	}
	padding := int(payload[0])
	if padding >= len(payload) {
		return nil, connError{codeProtocol, "padding is longer than its frame"}
	}
	return payload[1 : len(payload)-padding], nil
}
