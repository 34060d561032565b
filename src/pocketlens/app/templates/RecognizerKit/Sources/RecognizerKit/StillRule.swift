/// Decides about a single picture, which nothing smooths and nothing has to hold.
public struct StillRule: Sendable {
    private let map: LabelMap
    private let thresholds: Thresholds
    private let background: Int?

    public init(configuration: RecognizerConfiguration) {
        map = LabelMap(classes: configuration.classes)
        thresholds = configuration.thresholds.forStills
        background = configuration.background.flatMap(map.index(of:))
    }

    /// What to show of what the model said; see `Answer`.
    public func answer(
        to labels: some Sequence<(label: String, probability: Double)>
    ) throws -> Answer {
        let probabilities = try map.probabilities(of: labels)
        var rule = DecisionRule(thresholds: thresholds, background: background)
        let decision = rule.decide(probabilities)
        return Answer(
            label: decision.map {
                StableLabel(label: map.classes[$0.index], confidence: $0.confidence)
            },
            ranking: map.ranking(of: probabilities)
        )
    }
}

/// What the model's probabilities come to.
public struct Answer: Equatable, Sendable {
    /// The label to show; `nil` when nothing, or nothing sure enough, was recognized.
    public let label: StableLabel?
    /// The most probable classes, the background among them, most probable first.
    public let ranking: [StableLabel]

    public init(label: StableLabel?, ranking: [StableLabel]) {
        self.label = label
        self.ranking = ranking
    }
}
