"""The e2e tests on a real node of this machine: kubelet, kube-proxy and containerd, without Docker.

`make test-node` builds both images from the Dockerfiles, starts the control plane of `lorapool_local` and beside it a
node in namespaces of its own (processes, mounts, network), installs the chart and runs tests/e2e.
"""
