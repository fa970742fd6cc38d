// Package show makes a table of routes readable: the listing of `switchyard ingress routes`, and why a URL goes where it goes.
//
// What it says is read off the table that is in force, by the same lookups as the engines make.
package show
