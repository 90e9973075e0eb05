import Addressing

/// Reads a Node, by the rules of `ValidateNode` for what is read of it.
struct NodeReading {
    let document: Field

    func read(into findings: inout Findings) -> Node {
        var node = Node()
        readPodRanges(of: &node, into: &findings)
        for element in document.child("status").child("addresses").elements where element.child("type").string == "InternalIP" {
            let field = element.child("address")
            guard let text = field.string else { continue }
            guard let address = IPAddress(text) else {
                findings.warn(field, "is no address, and is ignored")
                continue
            }
            if !node.internalAddresses.contains(address) { node.internalAddresses.append(address) }
        }
        return node
    }

    /// As an API server does, the single field counts where the two differ.
    private func readPodRanges(of node: inout Node, into findings: inout Findings) {
        let (list, single) = (document.child("spec").child("podCIDRs"), document.child("spec").child("podCIDR"))
        var entries = list.strings
        if let text = single.string, !text.isEmpty, text != entries.first?.text { entries = [(text, single)] }
        for (text, field) in entries {
            if let problem = AddressRules.range(text) {
                findings.invalid(field, string: text, problem)
            } else if let range = IPRange(text) {
                node.podRanges.append(range)
            }
        }
        let families = node.podRanges.map(\.address.family)
        if Set(families).count < families.count {
            let value = "[\(entries.map { goQuoted($0.text) }.joined(separator: ","))]"
            findings.invalid(list, value, "may specify no more than one CIDR for each IP family")
        }
    }
}
