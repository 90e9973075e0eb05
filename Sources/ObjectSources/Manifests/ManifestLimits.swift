/// How much a source of manifests may ask of this process. What exceeds a limit is refused with an error that names it.
package struct ManifestLimits: Hashable, Sendable {
    /// Bytes of one file, or of standard input.
    package var fileBytesMax = 32 << 20
    /// Collections inside collections. Kubernetes' own objects stay below twenty.
    package var nestingMax = 128
    /// Documents in one file.
    package var documentsMax = 100_000
    /// Values in one document, estimated from its punctuation before any memory is spent on them.
    package var valuesMax = 4_000_000
    /// Nodes that aliases may add to one document beyond those that are written out.
    package var aliasNodesMax = 100_000

    package init() {}
}
