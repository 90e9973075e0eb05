// What a Pod may hold: the fields that decide where it is and whether it is ready are read, the others are known by name only.
// Source: staging/src/k8s.io/api/core/v1/types.go of Kubernetes 1.36.

extension ObjectShape {
    static let pod = ObjectShape(
        "Pod",
        [
            "apiVersion": .string, "kind": .string, "metadata": .object(objectMeta),
            "spec": .object(
                ObjectShape(
                    "PodSpec",
                    opaque(podSpec).merging([
                        "containers": containers, "initContainers": containers, "nodeName": .string, "hostname": .string,
                        "subdomain": .string,
                    ]) { $1 })),
            "status": .object(
                ObjectShape(
                    "PodStatus",
                    opaque(podStatus).merging([
                        "phase": .string, "podIP": .string, "podIPs": .list(.object(ObjectShape("PodIP", ["ip": .string]))),
                    ]) { $1 })),
        ])

    private static let containers = FieldShape.list(
        .object(
            ObjectShape(
                "Container",
                opaque(container).merging([
                    "name": .string, "ports": .list(.object(containerPort)), "readinessProbe": .object(probe), "restartPolicy": .string,
                ]) { $1 })))

    private static let containerPort = ObjectShape(
        "ContainerPort",
        [
            "name": .string, "hostPort": .int32, "containerPort": .int32, "protocol": .string(type: "v1.Protocol"), "hostIP": .string,
        ])

    private static let probe = ObjectShape(
        "Probe",
        [
            "exec": .opaque, "grpc": .opaque,
            "httpGet": .object(
                ObjectShape(
                    "HTTPGetAction",
                    [
                        "path": .string, "port": .intOrString, "host": .string, "scheme": .string(type: "v1.URIScheme"),
                        "httpHeaders": .list(.object(ObjectShape("HTTPHeader", ["name": .string, "value": .string]))),
                    ])),
            "tcpSocket": .object(ObjectShape("TCPSocketAction", ["port": .intOrString, "host": .string])),
            "initialDelaySeconds": .int32, "timeoutSeconds": .int32, "periodSeconds": .int32, "successThreshold": .int32,
            "failureThreshold": .int32, "terminationGracePeriodSeconds": .int64,
        ])

    static func opaque(_ names: String) -> [String: FieldShape] {
        Dictionary(uniqueKeysWithValues: names.split(separator: " ").map { (String($0), .opaque) })
    }

    private static let podSpec = """
        volumes ephemeralContainers restartPolicy terminationGracePeriodSeconds activeDeadlineSeconds dnsPolicy nodeSelector \
        serviceAccountName serviceAccount automountServiceAccountToken nodeName hostNetwork hostPID hostIPC shareProcessNamespace \
        securityContext imagePullSecrets hostname subdomain affinity schedulerName tolerations hostAliases priorityClassName priority \
        dnsConfig readinessGates runtimeClassName enableServiceLinks preemptionPolicy overhead topologySpreadConstraints \
        setHostnameAsFQDN os hostUsers schedulingGates resourceClaims resources hostnameOverride schedulingGroup workloadRef
        """

    private static let podStatus = """
        observedGeneration phase conditions message reason nominatedNodeName hostIP hostIPs startTime initContainerStatuses \
        containerStatuses qosClass ephemeralContainerStatuses resize resourceClaimStatuses extendedResourceClaimStatus \
        allocatedResources resources
        """

    private static let container = """
        image command args workingDir envFrom env resources resizePolicy restartPolicy restartPolicyRules volumeMounts volumeDevices \
        livenessProbe startupProbe lifecycle terminationMessagePath terminationMessagePolicy imagePullPolicy securityContext stdin \
        stdinOnce tty
        """
}
