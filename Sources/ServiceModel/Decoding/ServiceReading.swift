import Addressing

/// Takes a Service out of its document as it is written. What is of the wrong type reads as absent: the strict pass has said so.
struct ServiceReading {
    let document: Field
    let metadata: ObjectMetadata
    let subject: Subject
    let strictness: Strictness
    private let spec: Field

    init(document: Field, metadata: ObjectMetadata, subject: Subject, strictness: Strictness) {
        (self.document, self.metadata, self.subject, self.strictness) = (document, metadata, subject, strictness)
        spec = document.child("spec")
    }

    /// Defaults are filled in, and the annotations of our own are read; nothing else is judged yet.
    func read(metadataFindings: [Finding]) -> ServiceManifest {
        let places = document.node.map(Places.init(of:)) ?? Places(document.location)
        var manifest = ServiceManifest(metadata: metadata, location: document.location, places: places, subject: subject)
        manifest.metadataFindings = metadataFindings
        readSpec(into: &manifest)
        readPolicies(into: &manifest)
        manifest.ingress = document.child("status").child("loadBalancer").child("ingress").elements.map { entry in
            ServiceManifest.Ingress(
                ip: text(entry.child("ip")), hostname: text(entry.child("hostname")), ipMode: entry.child("ipMode").string)
        }
        manifest.fillDefaults()
        readAnnotations(into: &manifest)
        return manifest
    }

    private func readSpec(into manifest: inout ServiceManifest) {
        manifest.type = text("type")
        manifest.ports = spec.child("ports").elements.map(port)
        let selector = spec.child("selector")
        manifest.selector = selector.isMapping ? MetadataReading.strings(of: selector) : nil
        manifest.clusterIP = text("clusterIP")
        manifest.clusterIPs = texts("clusterIPs")
        manifest.ipFamilies = texts("ipFamilies")
        manifest.ipFamilyPolicy = spec.child("ipFamilyPolicy").string
        manifest.externalIPs = texts("externalIPs")
        manifest.externalName = text("externalName")
        manifest.sessionAffinity = text("sessionAffinity")
        manifest.affinityTimeout = spec.child("sessionAffinityConfig").child("clientIP").child("timeoutSeconds").int32
    }

    private func readPolicies(into manifest: inout ServiceManifest) {
        manifest.externalTrafficPolicy = text("externalTrafficPolicy")
        manifest.internalTrafficPolicy = spec.child("internalTrafficPolicy").string
        manifest.trafficDistribution = spec.child("trafficDistribution").string
        manifest.publishNotReadyAddresses = spec.child("publishNotReadyAddresses").boolean ?? false
        manifest.healthCheckNodePort = spec.child("healthCheckNodePort").int32 ?? 0
        manifest.loadBalancerIP = text("loadBalancerIP")
        manifest.loadBalancerClass = spec.child("loadBalancerClass").string
        manifest.loadBalancerSourceRanges = texts("loadBalancerSourceRanges")
        manifest.allocateLoadBalancerNodePorts = spec.child("allocateLoadBalancerNodePorts").boolean
    }

    private func port(_ element: Field) -> ServiceManifest.Port {
        let target = element.child("targetPort")
        return ServiceManifest.Port(
            name: text(element.child("name")), transport: text(element.child("protocol")),
            appProtocol: element.child("appProtocol").string, port: element.child("port").int32 ?? 0,
            targetPort: target.string.map { .name($0) } ?? .number(target.int32 ?? 0), nodePort: element.child("nodePort").int32 ?? 0)
    }

    private func text(_ name: String) -> String { text(spec.child(name)) }

    private func text(_ field: Field) -> String { field.string ?? "" }

    private func texts(_ name: String) -> [String] { spec.child(name).elements.map { $0.string ?? "" } }

    // MARK: Annotations

    private func readAnnotations(into manifest: inout ServiceManifest) {
        var findings = Findings(subject: subject, strictness: strictness)
        var service = manifest.service
        let annotations = document.child("metadata").child("annotations")
        for annotation in RingwayAnnotation.all { annotation.read(from: annotations, into: &service, findings: &findings) }
        judge(service, annotations, into: &findings)
        manifest.settings = service.settings
        manifest.inlineEndpoints = service.inlineEndpoints
        manifest.annotationFindings = findings.all
    }

    /// What is odd about annotations together.
    private func judge(_ service: Service, _ annotations: Field, into findings: inout Findings) {
        // One number on TCP and UDP is one server, as a rule.
        if service.inlineEndpoints != nil, Set(service.ports.map(\.port)).count > 1,
            let field = ServiceAnnotation.field(RingwayAnnotation.endpoints, in: annotations)
        {
            findings.warn(field, "the Service has \(service.ports.count) ports, and each of them will use these same endpoints")
        }
        if let endpoints = service.inlineEndpoints, let weights = service.settings.weights,
            let field = ServiceAnnotation.field(RingwayAnnotation.weights, in: annotations)
        {
            for weight in weights where !endpoints.contains(where: weight.matches) {
                let name = weight.port.map { SocketAddress(weight.address, $0).description } ?? weight.address.description
                findings.warn(field, "\(name) is none of the endpoints in \(RingwayAnnotation.endpoints)")
            }
        }
        if let ranges = service.settings.acceptProxyProtocolFrom,
            let field = ServiceAnnotation.field(RingwayAnnotation.acceptProxyProtocolFrom, in: annotations)
        {
            for range in ranges where range.prefix == 0 {
                findings.warn(field, "\(range) lets every client say which address it has")
            }
        }
        if service.affinity == .clientIP, let algorithm = service.settings.algorithm, algorithm != .consistentHash,
            let field = ServiceAnnotation.field(RingwayAnnotation.algorithm, in: annotations)
        {
            findings.invalid(
                field, string: algorithm.rawValue,
                "may not be used when `sessionAffinity` is 'ClientIP', which means consistent-hash: remove one of the two")
        }
    }
}
