// Package endpointsdiff holds this project's endpoints controllers against those of kube-controller-manager: both run on
// clusters that go through the same random changes, and must end with the same EndpointSlices and Endpoints.
//
// It is a package of tests only, and lives here because only this module may import k8s.io/kubernetes.
package endpointsdiff
