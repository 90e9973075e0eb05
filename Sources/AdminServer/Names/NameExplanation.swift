internal import Addressing
internal import ControlPlane
internal import DNS
internal import Forwarding
internal import Routing

/// What the process would answer to somebody who asks for a name, and why: what `ringway dns query` prints.
package struct NameExplanation: Codable, Sendable {
    package struct Record: Codable, Sendable, Equatable {
        package var section: String
        package var name: String
        package var ttl: UInt32
        package var type: String
        package var data: String
        /// The objects that give it: `Service prod/web`, `EndpointSlice prod/db-1`.
        package var from: [String]
    }

    /// The names that were asked for, one after the other, with what each came to.
    package struct Attempt: Codable, Sendable, Equatable {
        package var name: String
        package var code: String
    }

    package var type: String
    package var attempts: [Attempt] = []
    package var records: [Record] = []
    /// Why there is nothing; nil where there is something.
    package var reason: String?

    package var code: String { attempts.last?.code ?? "" }
}

/// A name that somebody asks for.
struct NameQuestion {
    let name: String
    let type: RecordType
    /// Whose search list is tried, as a Pod's resolver does; nil: the name is taken as it is.
    let namespace: String?

    /// Dots that make a resolver try a name as it is first (`ndots` of a Pod).
    private static let dotsMin = 5

    /// The names to try.
    func names(in domain: String) -> [String] {
        guard let namespace, !name.hasSuffix(".") else { return [name] }
        let searched = ["\(namespace).svc.\(domain)", "svc.\(domain)", domain].map { "\(name).\($0)" }
        return name.count(where: { $0 == "." }) >= Self.dotsMin ? [name] + searched : searched + [name]
    }
}

extension NameExplanation {
    /// - Returns: nil where a name is none.
    init?(_ question: NameQuestion, _ asked: NameAsking, _ inventory: Inventory) {
        type = question.type.name
        let domain = String(asked.domain.dropLast())
        for name in question.names(in: domain) {
            guard let bytes = asked.answer(to: name, type: question.type), let text = MessageText(bytes) else { return nil }
            attempts.append(Attempt(name: name.hasSuffix(".") ? name : name + ".", code: text.codeName))
            let found = text.records.filter { $0.section == .answer }
            if found.isEmpty, name != question.names(in: domain).last { continue }
            let explainer = RecordExplainer(domain: domain, names: asked.names, podNames: asked.podNames, inventory: inventory)
            records = text.records.map { record in
                Record(
                    section: record.section.rawValue, name: record.name, ttl: record.ttl, type: record.type, data: record.data,
                    from: explainer.origins(of: record))
            }
            if found.isEmpty { reason = explainer.reason(name: name, type: question.type, code: text.code) }
            return
        }
        return nil
    }
}

/// Finds the objects behind names.
struct RecordExplainer {
    /// Without a final dot.
    let domain: String
    let names: NameTable
    let podNames: PodNames
    let inventory: Inventory

    /// The labels of a name before the domain; nil where it is not in there.
    private func labels(_ name: String) -> [String]? {
        let name = (name.hasSuffix(".") ? String(name.dropLast()) : name).lowercased()
        if name == domain { return [] }
        guard name.hasSuffix("." + domain) else { return nil }
        return name.dropLast(domain.count + 1).split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    }

    /// Namespace and name of the Service whose name, or below whose name, labels stand.
    private func service(_ labels: [String]) -> ServiceNames? {
        guard labels.count >= 3, labels.last == "svc" else { return nil }
        return names.services[ServiceName(namespace: labels[labels.count - 2], name: labels[labels.count - 3])]
    }

    func origins(of record: MessageText.Record) -> [String] {
        switch record.type {
        case "SOA", "NS", "TXT", "HINFO": return ["the zone \(domain)"]
        case "PTR": return labels(record.data).map { origins(of: $0, address: nil) } ?? []
        default:
            guard let labels = labels(record.name) else { return [] }
            return origins(of: labels, address: IPAddress(record.data))
        }
    }

    private func origins(of labels: [String], address: IPAddress?) -> [String] {
        if labels.count == 3, labels[2] == "pod", let address {
            let pods = inventory.podNames(in: labels[1], at: address)
            return pods.isEmpty ? ["the name itself (--dns-pods \(podNames.rawValue))"] : pods
        }
        guard let service = service(labels) else { return labels.suffix(2) == ["dns", "ns"] ? ["the zone \(domain)"] : [] }
        let ports = labels.first?.hasPrefix("_") == true ? ", port \(labels[0].dropFirst())" : ""
        switch service.kind {
        case .externalName: return ["Service \(service.service) externalName"]
        case .cluster where labels.count == 3 || !ports.isEmpty: return ["Service \(service.service) clusterIP\(ports)"]
        case .cluster, .headless:
            let own = "Service \(service.service)\(ports)"
            return [own]
                + (address.map { inventory.origins(of: $0, namespace: labels[labels.count - 2], service: labels[labels.count - 3]) } ?? [])
        }
    }

    /// Why a name has nothing of a type.
    func reason(name: String, type: RecordType, code: UInt16) -> String {
        guard let labels = labels(name) else {
            return code == 5
                ? "the name is not below \(domain) (--cluster-domain): what others say of it is not explained"
                : "no Service and no endpoint has this address"
        }
        if code == 2 { return "the objects have not all been read yet" }
        guard let kind = labels.last else { return "the zone has no record of type \(type.name)" }
        guard kind == "svc" || kind == "pod" else { return "below \(domain) there are svc and pod only" }
        guard labels.count > 1 else { return "\(kind).\(domain) has no records of its own" }
        let namespace = labels[labels.count - 2]
        guard names.namespaces[namespace] != nil else { return "there is no namespace \(namespace): no object stands in it" }
        guard labels.count > 2 else { return "a namespace has no records of its own" }
        if kind == "pod" {
            switch podNames {
            case .disabled: return "names of Pods are disabled (--dns-pods)"
            case .insecure: return "the first label is no address like 10-244-0-7, or of the other family"
            case .verified: return "no Pod of the namespace \(namespace) has this address, or it is of the other family"
            }
        }
        guard let service = service(labels) else {
            return "there is no Service \(labels[labels.count - 3]) in the namespace \(namespace)"
        }
        return reason(service, Array(labels.dropLast(3)), type, exists: code == 0)
    }

    private func reason(_ service: ServiceNames, _ labels: [String], _ type: RecordType, exists: Bool) -> String {
        let own = "Service \(service.service)"
        let hasEndpoints = service.endpointSets.contains { !$0.endpoints.isEmpty }
        if exists { return "\(own) has no record of type \(type.name) at this name" }
        if case .externalName = service.kind { return "\(own) is another name (externalName): there is nothing below it" }
        if labels.isEmpty { return "\(own) is headless, and has no ready endpoint" }
        if labels.count == 2, labels[0].hasPrefix("_") {
            return "\(own) has no port named \(labels[0].dropFirst()) over \(labels[1].dropFirst())"
                + (hasEndpoints ? "" : ", or no endpoint")
        }
        return hasEndpoints ? "\(own) has no ready endpoint named \(labels[0])" : "\(own) has no ready endpoint"
    }
}
