internal import ArgumentParser
internal import ControlPlane
internal import HostNetwork

/// What of this node traffic policies and topology hints go by, and which Services are its own.
struct NodeOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Name of this node, as nodeName of endpoints has it. (default: the host's name)", valueName: "name"))
    var nodeName: String?

    @Option(
        help: ArgumentHelp(
            "Labels of this node, of which \(LocalNode.zoneLabel) counts: that of its zone, for topology hints.",
            valueName: "key=value,..."))
    var nodeLabels: NodeLabels?

    @Option(
        help: ArgumentHelp(
            "Where the cluster's Pods are; may be given again. Like this node itself they reach all endpoints behind an address from "
                + "outside, whatever externalTrafficPolicy says. (default: spec.podCIDRs of this node's Node, where there is one)",
            valueName: "cidr,..."))
    var clusterCidr: [ServiceRanges] = []

    @Option(
        help: ArgumentHelp(
            "Serve the Services whose label service.kubernetes.io/service-proxy-name has this value, and no others. (default: those "
                + "without the label)",
            valueName: "name"))
    var serviceProxyName: String?

    @Option(
        help: ArgumentHelp(
            "Addresses of this node that serve node ports: those inside of ranges, or primary for one of each family, the one that packets "
                + "to the world leave from. They are followed as they come and go. (default: all, loopback included)",
            valueName: "cidr,...|primary"))
    var nodeportAddresses: NodePortAddresses?

    init() {}

    var node: LocalNode {
        var node = LocalNode(name: nodeName ?? Host.name.lowercased(), zone: nodeLabels?.values[LocalNode.zoneLabel])
        node.clusterRanges = clusterCidr.flatMap(\.ranges)
        return node
    }
}

/// `--node-labels`: `key=value`, separated by commas.
struct NodeLabels: ExpressibleByArgument, Equatable {
    var values: [String: String] = [:]

    init?(argument: String) {
        for item in argument.split(separator: ",", omittingEmptySubsequences: false) {
            let parts = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[0].isEmpty, values.updateValue(String(parts[1]), forKey: String(parts[0])) == nil else {
                return nil
            }
        }
    }
}

extension NodePortAddresses: ExpressibleByArgument {
    package init?(argument: String) { self.init(argument) }
}
