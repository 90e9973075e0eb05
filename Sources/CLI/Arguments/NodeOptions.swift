internal import ArgumentParser
internal import ControlPlane

/// What of this node traffic policies and topology hints go by.
struct NodeOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Name of this node, as nodeName of endpoints has it. (default: the host's name)", valueName: "name"))
    var nodeName: String?

    @Option(
        help: ArgumentHelp(
            "Labels of this node, of which \(LocalNode.zoneLabel) counts: that of its zone, for topology hints.",
            valueName: "key=value,..."))
    var nodeLabels: NodeLabels?

    init() {}

    var node: LocalNode { LocalNode(name: nodeName ?? Host.name.lowercased(), zone: nodeLabels?.values[LocalNode.zoneLabel]) }
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
