"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler as plain processes."""
