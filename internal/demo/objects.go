package main

import "context"

// The fields of API objects that the demo reads, in the form that kubectl prints.

type objects[T any] struct {
	Items []T `json:"items"`
}

type metadata struct {
	Name              string `json:"name"`
	DeletionTimestamp string `json:"deletionTimestamp"`
}

type service struct {
	Spec struct {
		ClusterIP    string `json:"clusterIP"`
		ExternalName string `json:"externalName"`
	} `json:"spec"`
}

type pod struct {
	Metadata metadata `json:"metadata"`
	Status   struct {
		PodIP string `json:"podIP"`
	} `json:"status"`
}

type node struct {
	Metadata metadata `json:"metadata"`
	Status   struct {
		Addresses []struct {
			Type    string `json:"type"`
			Address string `json:"address"`
		} `json:"addresses"`
	} `json:"status"`
}

func (n node) internalIP() string {
	if all := n.internalIPs(); len(all) > 0 {
		return all[0]
	}
	return ""
}

// internalIPs returns those of both families.
func (n node) internalIPs() []string {
	var out []string
	for _, address := range n.Status.Addresses {
		if address.Type == "InternalIP" {
			out = append(out, address.Address)
		}
	}
	return out
}

type ingress struct {
	Status struct {
		LoadBalancer struct {
			Ingress []struct {
				IP string `json:"ip"`
			} `json:"ingress"`
		} `json:"loadBalancer"`
	} `json:"status"`
}

type endpointSlice struct {
	AddressType string `json:"addressType"`
	Endpoints   []struct {
		Addresses  []string `json:"addresses"`
		Hostname   string   `json:"hostname"`
		Conditions struct {
			Ready bool `json:"ready"`
		} `json:"conditions"`
	} `json:"endpoints"`
}

// pods returns the pods of the Deployment that are not being deleted.
func (d *demo) pods(ctx context.Context) ([]pod, error) {
	var all objects[pod]
	if err := d.cluster.get(ctx, &all, "pods", "-l", "app=my-nginx"); err != nil {
		return nil, err
	}
	var alive []pod
	for _, pod := range all.Items {
		if pod.Metadata.DeletionTimestamp == "" {
			alive = append(alive, pod)
		}
	}
	return alive, nil
}

// endpoints returns the IPv4 addresses of a Service's ready endpoints.
func (d *demo) endpoints(ctx context.Context, service string) ([]string, error) {
	var slices objects[endpointSlice]
	if err := d.cluster.get(ctx, &slices, "endpointslices", "-l", "kubernetes.io/service-name="+service); err != nil {
		return nil, err
	}
	var ready []string
	for _, slice := range slices.Items {
		for _, endpoint := range slice.Endpoints {
			if slice.AddressType == "IPv4" && endpoint.Conditions.Ready {
				ready = append(ready, endpoint.Addresses...)
			}
		}
	}
	return ready, nil
}
