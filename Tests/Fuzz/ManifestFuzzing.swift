import ServiceModel

/// A file of manifests, and what becomes of it: from bytes to objects, to Services that are admitted, to the snapshot, as `ringway run`
/// does it. A line `# then` in the input begins the file's next version, so that updates and losses are tried, too; a first line
/// `# kubernetes` makes the rules those of a cluster.
enum ManifestFuzzing: FuzzTarget {
    static let name = "manifests"

    private static let versionsMax = 4
    static let nextVersion = "# then"
    static let strictly = "# kubernetes"

    static func play(_ bytes: [UInt8]) -> [String] {
        let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        let isStrict = lines.first.map { $0.elementsEqual(strictly.utf8) } ?? false
        var world = ManifestWorld(strictness: isStrict ? .kubernetes : .ringway)
        let versions = lines.split(maxSplits: versionsMax - 1, omittingEmptySubsequences: false) { $0.elementsEqual(nextVersion.utf8) }
        for version in versions { world.take(Array(version.joined(separator: [UInt8(ascii: "\n")]))) }
        world.end()
        return world.findings
    }

    static func changed(_ bytes: [UInt8], lengthMax: Int, seed: UInt64) -> [UInt8]? {
        var mutation = LineMutation(seed: seed, lengthMax: lengthMax)
        return mutation.changed(bytes)
    }

    static func crossed(_ left: [UInt8], _ right: [UInt8], lengthMax: Int, seed: UInt64) -> [UInt8]? {
        var mutation = LineMutation(seed: seed, lengthMax: lengthMax)
        return mutation.crossed(left, right)
    }
}
