// Package fastcgi is the client's side of FastCGI 1.0 (https://fastcgi-archives.github.io/FastCGI_Specification.html) on an event loop:
// requests to backends of protocol FCGI, as a responder such as PHP-FPM takes them. Each has a connection of its own.
package fastcgi
