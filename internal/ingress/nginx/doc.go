// Package nginx is the engine that has a real nginx carry the requests: it renders a route.Table as a configuration, has nginx
// check it, and puts it in force by a reload; a configuration that nginx refuses changes nothing.
//
// The configuration is a tree of directives (config.go), never a template of text. An argument can only be made from a word, a
// pattern or a value with variables, each of which is quoted as its place in nginx's grammar needs, so that no string of an object
// of the API can end its argument. What nginx cannot do is a Problem of the Ingress that asks for it.
package nginx
