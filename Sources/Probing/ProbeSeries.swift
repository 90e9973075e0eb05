/// What came of one probe so far: a verdict turns after so many answers in a row that speak against it. Pure.
struct ProbeSeries {
    /// What was wrong when it turned; nil while all is well.
    private(set) var failure: String?
    private var against = 0

    /// Takes one more answer, nil for a good one. True where the verdict turns.
    mutating func add(_ answer: String?, rise: Int, fall: Int) -> Bool {
        guard (answer == nil) != (failure == nil) else {
            against = 0
            return false
        }
        against += 1
        guard against >= (failure == nil ? fall : rise) else { return false }
        against = 0
        failure = answer
        return true
    }
}
