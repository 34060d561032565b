import Accessibility
import RecognizerKit
import SwiftUI

/// The result for a single image with the most probable classes; announced when it changes.
struct AnswerView: View {
    let answer: Answer?
    let problem: String?
    /// Shown while there is no answer yet.
    let placeholder: LocalizedStringKey

    var body: some View {
        VStack(spacing: 8) {
            if let problem {
                Text(verbatim: problem)
                    .foregroundStyle(.secondary)
            } else if let answer {
                headline(answer)
                RankingView(ranking: answer.ranking)
            } else {
                Text(placeholder)
                    .font(.headline)
                    .foregroundStyle(.secondary)
            }
        }
        .multilineTextAlignment(.center)
        .frame(maxWidth: .infinity)
        .sensoryFeedback(.selection, trigger: answer?.label?.label)
        .onChange(of: answer?.label?.label) { _, name in
            if let name {
                AccessibilityNotification.Announcement(name).post()
            }
        }
    }

    @ViewBuilder private func headline(_ answer: Answer) -> some View {
        if let label = answer.label {
            // Class names are data and are not translated.
            Text(verbatim: label.label)
                .font(.largeTitle.bold())
                .minimumScaleFactor(0.5)
                .lineLimit(2)
        } else if answer.isNothing {
            Text("Nothing recognized")
                .font(.title2)
        } else {
            Text("Not sure")
                .font(.title2)
        }
    }
}

/// The most probable classes, each with a bar.
struct RankingView: View {
    let ranking: [StableLabel]

    var body: some View {
        Grid(alignment: .leading, verticalSpacing: 4) {
            ForEach(ranking, id: \.label) { row in
                GridRow {
                    Text(verbatim: row.label)
                        .lineLimit(1)
                    ProgressView(value: min(max(row.confidence, 0), 1))
                        .accessibilityHidden(true)
                    Text(row.confidence, format: .percent.precision(.fractionLength(0)))
                        .monospacedDigit()
                        .gridColumnAlignment(.trailing)
                }
                .accessibilityElement(children: .combine)
            }
        }
        .font(.callout)
    }
}
