/// What became of one object of a document: itself, or what is wrong with it.
package struct DecodedObject: Hashable, Sendable {
    /// Its identity, where kind and name could be read, whether or not the rest is valid.
    package let key: ObjectKey?
    /// nil where it was refused, where it is of a kind that is skipped, and where a `ServiceRegistry` is to judge it.
    package let object: KubernetesObject?
    /// A Service as it is written, for a `ServiceRegistry`, which judges it in its own way; nil where it could not be decoded.
    package let manifest: ServiceManifest?
    /// Every finding about it, warnings too.
    package let diagnostics: [Diagnostic]
    /// Where it begins.
    package let location: SourceLocation

    package init(
        key: ObjectKey?, object: KubernetesObject?, manifest: ServiceManifest? = nil, diagnostics: [Diagnostic], location: SourceLocation
    ) {
        self.key = key
        self.object = object
        self.manifest = manifest
        self.diagnostics = diagnostics
        self.location = location
    }

    /// It has at least one error and must not be used.
    package var isRejected: Bool { diagnostics.contains { $0.severity == .error } }
}

/// Turns parsed documents into objects, as strictly as an API server and with all findings at once.
///
/// Pure. Honoured: `v1` Service, Endpoints, Pod, Node, Namespace, `discovery.k8s.io/v1` EndpointSlice, and lists of them. Other kinds
/// of Kubernetes are skipped with a warning; a kind nobody knows is an error.
package enum ObjectDecoder {
    /// All objects of a document, the items of a list one by one, in order; none for an empty document.
    package static func decode(_ document: DocumentNode) -> [DecodedObject] {
        decode(document, strictness: .ringway)
    }

    /// - Parameter judgesServices: with false a Service that could be decoded has no findings: a `ServiceRegistry` will judge it.
    package static func decode(_ document: DocumentNode, strictness: Strictness, judgesServices: Bool = true) -> [DecodedObject] {
        decode(document, listKind: nil, Rules(strictness: strictness, judgesServices: judgesServices))
    }

    private struct Rules {
        let strictness: Strictness
        let judgesServices: Bool
    }

    private static func decode(_ document: DocumentNode, listKind: KnownKind?, _ rules: Rules) -> [DecodedObject] {
        guard !document.isNull else { return [] }
        guard case .mapping = document.content else {
            return [refused(document, "an object with apiVersion and kind is expected here, not \(article(document.jsonTypeName))")]
        }
        let kind: KnownKind
        switch identify(document, listKind: listKind) {
        case .known(let known): kind = known
        case .skipped(let message):
            let warning = Diagnostic(severity: .warning, location: document.location, message: message)
            return [DecodedObject(key: nil, object: nil, diagnostics: [warning], location: document.location)]
        case .refused(let message, let location): return [refused(document, message, at: location)]
        }
        guard kind.isList else { return [decodeObject(document, kind: kind, rules)] }
        guard listKind == nil else { return [refused(document, "a \(kind.name) inside a list is not read; list its items directly")] }
        return decodeList(document, kind: kind, rules)
    }

    private static func decodeList(_ document: DocumentNode, kind: KnownKind, _ rules: Rules) -> [DecodedObject] {
        var pass = StrictPass(findings: Findings(subject: Subject(kind: kind.name, location: document.location)))
        pass.check(document, against: .list)
        var decoded: [DecodedObject] = []
        if !pass.findings.diagnostics.isEmpty {
            decoded.append(
                DecodedObject(key: nil, object: nil, diagnostics: pass.findings.diagnostics, location: document.location))
        }
        if case .sequence(let items)? = document["items"]?.content {
            for item in items { decoded += decode(item, listKind: kind, rules) }
        }
        return decoded
    }

    private static func decodeObject(_ document: DocumentNode, kind: KnownKind, _ rules: Rules) -> DecodedObject {
        let root = Field(path: .root, node: document, parentLocation: document.location)
        let metadataField = root.child("metadata")
        let name = metadataField.child("name").string ?? ""
        let key = kind.objectKind.flatMap { objectKind in
            name.isEmpty
                ? nil
                : ObjectKey(
                    kind: objectKind, namespace: kind.isInNamespace ? MetadataReading.namespace(of: metadataField) : "", name: name)
        }
        let subject = Subject(kind: kind.name, group: kind.group, name: name, key: key, location: document.location)
        var pass = StrictPass(findings: Findings(subject: subject, strictness: rules.strictness))
        pass.check(document, against: kind.shape)
        var findings = pass.findings
        let isDecoded = !findings.hasErrors
        var metadataFindings = Findings(subject: subject, strictness: rules.strictness)
        metadataFindings.reported = findings.reported
        var metadata = MetadataReading(nameRule: kind == .service || kind == .namespace ? .label : .subdomain, isService: kind == .service)
            .read(metadataField, suggestedPaths: pass.suggestedPaths, into: &metadataFindings)
        if !kind.isInNamespace {
            let namespace = metadataField.child("namespace")
            if namespace.string?.isEmpty == false { findings.forbidden(namespace, "not allowed on this type") }
            metadata.namespace = ""
        }
        if kind == .service {
            let manifest = ServiceReading(document: root, metadata: metadata, subject: subject, strictness: rules.strictness)
                .read(metadataFindings: metadataFindings.all)
            // One without a name has no identity to be judged under later.
            if isDecoded, key != nil, !rules.judgesServices {
                return DecodedObject(key: key, object: nil, manifest: manifest, diagnostics: [], location: document.location)
            }
            let object = manifest.judgedAlone(findings: &findings)
            return DecodedObject(
                key: key, object: object, manifest: isDecoded ? manifest : nil, diagnostics: findings.diagnostics,
                location: document.location)
        }
        findings.append(metadataFindings.all)
        let body = read(root, kind: kind, metadata: metadata, suggestedPaths: pass.suggestedPaths, findings: &findings)
        let object = findings.hasErrors ? nil : KubernetesObject(metadata: metadata, body: body, location: document.location)
        return DecodedObject(key: key, object: object, diagnostics: findings.diagnostics, location: document.location)
    }

    private static func read(
        _ root: Field, kind: KnownKind, metadata: ObjectMetadata, suggestedPaths: Set<String>, findings: inout Findings
    ) -> KubernetesObject.Body {
        switch kind {
        case .endpoints: .endpoints(EndpointsReading(document: root, suggestedPaths: suggestedPaths).read(into: &findings))
        case .pod: .pod(PodReading(document: root, suggestedPaths: suggestedPaths).read(into: &findings))
        case .node: .node(NodeReading(document: root).read(into: &findings))
        case .namespace: .namespace
        default:
            .endpointSlice(
                EndpointSliceReading(document: root, metadata: metadata, suggestedPaths: suggestedPaths).read(into: &findings))
        }
    }

    // MARK: Kinds

    private enum Identity {
        case known(KnownKind)
        case skipped(String)
        case refused(String, SourceLocation)
    }

    /// What the document says it is. Items of a typed list may leave it unsaid.
    private static func identify(_ document: DocumentNode, listKind: KnownKind?) -> Identity {
        for field in ["apiVersion", "kind"] {
            if let value = document[field], !value.isNull, value.string == nil {
                return .refused("\(field) must be a string, not \(article(value.jsonTypeName))", value.location)
            }
        }
        let version = document["apiVersion"]?.string ?? ""
        let kind = document["kind"]?.string ?? ""
        if version.isEmpty, kind.isEmpty, let item = listKind?.itemKind { return .known(item) }
        let hint = misspelledIdentity(document)
        if kind.isEmpty { return .refused("Object 'Kind' is missing\(hint)", document.location) }
        if version.isEmpty { return .refused("Object 'apiVersion' is missing\(hint)", document.location) }
        if let known = KnownKind(version: version, kind: kind) { return .known(known) }
        let location = document["kind"]?.location ?? document.location
        // A kind of another group may well have the name of one of ours (Knative has a Service).
        let group = version.split(separator: "/").dropLast().first ?? ""
        if KnownKind.workloads[kind] == group {
            return .skipped("\(kind) of \(version) makes no Pods here: its Pods, or the EndpointSlices of its Services, must be given")
        }
        if ["", "core", "discovery.k8s.io"].contains(group), let known = KnownKind.allCases.first(where: { $0.name == kind }) {
            return .refused(
                "no matches for kind \(goQuoted(kind)) in version \(goQuoted(version)): write apiVersion: \(known.version)",
                document["apiVersion"]?.location ?? location)
        }
        if version == "v1", !KnownKind.otherCoreKinds.contains(kind), !KnownKind.otherCoreKinds.contains(listItem(of: kind)) {
            let candidates = KnownKind.allCases.map(\.name) + KnownKind.otherCoreKinds.sorted()
            return .refused(
                "no matches for kind \(goQuoted(kind)) in version \"v1\"\(Suggestion.phrase(for: kind, among: candidates))", location)
        }
        return .skipped("\(kind) of \(version) is not a kind Ringway reads; skipped")
    }

    private static func listItem(of kind: String) -> String { kind.hasSuffix("List") ? String(kind.dropLast(4)) : kind }

    private static func misspelledIdentity(_ document: DocumentNode) -> String {
        guard case .mapping(let entries) = document.content else { return "" }
        for wanted in ["apiVersion", "kind"] where document[wanted] == nil {
            for entry in entries where Suggestion.nearest(to: entry.key, among: [wanted]) != nil {
                return " (did you mean \"\(wanted)\" by \(goQuoted(entry.key))?)"
            }
        }
        return ""
    }

    private static func article(_ typeName: String) -> String {
        switch typeName {
        case "array", "object": "an \(typeName)"
        case "null": "null"
        default: "a \(typeName)"
        }
    }

    private static func refused(_ document: DocumentNode, _ message: String, at location: SourceLocation? = nil) -> DecodedObject {
        let diagnostic = Diagnostic(severity: .error, location: location ?? document.location, message: message)
        return DecodedObject(key: nil, object: nil, diagnostics: [diagnostic], location: document.location)
    }
}

/// The kinds that are decoded.
enum KnownKind: CaseIterable {
    case service, endpointSlice, endpoints, pod, node, namespace
    case list, serviceList, endpointSliceList, endpointsList, podList, nodeList, namespaceList

    init?(version: String, kind: String) {
        guard let known = KnownKind.allCases.first(where: { $0.version == version && $0.name == kind }) else { return nil }
        self = known
    }

    var name: String {
        switch self {
        case .service: "Service"
        case .endpointSlice: "EndpointSlice"
        case .endpoints: "Endpoints"
        case .pod: "Pod"
        case .node: "Node"
        case .namespace: "Namespace"
        case .list: "List"
        case .serviceList: "ServiceList"
        case .endpointSliceList: "EndpointSliceList"
        case .endpointsList: "EndpointsList"
        case .podList: "PodList"
        case .nodeList: "NodeList"
        case .namespaceList: "NamespaceList"
        }
    }

    var version: String {
        switch self {
        case .endpointSlice, .endpointSliceList: "discovery.k8s.io/v1"
        default: "v1"
        }
    }

    /// Empty for the core group.
    var group: String { version.split(separator: "/").dropLast().first.map(String.init) ?? "" }

    var isInNamespace: Bool { self != .node && self != .namespace }

    var isList: Bool { objectKind == nil }

    var objectKind: ObjectKey.Kind? {
        switch self {
        case .service: .service
        case .endpointSlice: .endpointSlice
        case .endpoints: .endpoints
        case .pod: .pod
        case .node: .node
        case .namespace: .namespace
        case .list, .serviceList, .endpointSliceList, .endpointsList, .podList, .nodeList, .namespaceList: nil
        }
    }

    /// What the items of a typed list are.
    var itemKind: KnownKind? {
        switch self {
        case .serviceList: .service
        case .endpointSliceList: .endpointSlice
        case .endpointsList: .endpoints
        case .podList: .pod
        case .nodeList: .node
        case .namespaceList: .namespace
        case .service, .endpointSlice, .endpoints, .pod, .node, .namespace, .list: nil
        }
    }

    var shape: ObjectShape {
        switch self {
        case .service: .service
        case .endpointSlice: .endpointSlice
        case .endpoints: .endpoints
        case .pod: .pod
        case .node: .node
        case .namespace: .namespace
        case .list, .serviceList, .endpointSliceList, .endpointsList, .podList, .nodeList, .namespaceList: .list
        }
    }

    /// Kinds that a cluster's controllers make Pods from, with their groups.
    static let workloads: [String: Substring] = [
        "CronJob": "batch", "DaemonSet": "apps", "Deployment": "apps", "Job": "batch", "ReplicaSet": "apps",
        "ReplicationController": "", "StatefulSet": "apps",
    ]

    /// Kinds of the core group that may stand in a file beside ours. Kinds of other groups are skipped by their group alone.
    static let otherCoreKinds: Set<String> = [
        "Binding", "ComponentStatus", "ConfigMap", "Event", "LimitRange", "PersistentVolume",
        "PersistentVolumeClaim", "PodTemplate", "ReplicationController", "ResourceQuota", "Secret", "ServiceAccount",
    ]
}
