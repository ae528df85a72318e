"""The Container Storage Interface v1 and the kubelet's plugin registration, as messages. Field numbers are facts.

Source: the CSI specification's csi.proto; staging/src/k8s.io/kubelet/pkg/apis/pluginregistration/v1/api.proto.
"""
