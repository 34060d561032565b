import PhotosUI
import RecognizerKit
import SwiftUI

/// A photo from the library, the part of it that the model sees, and the result.
struct PhotoScreen: View {
    let model: PhotoModel
    @State private var item: PhotosPickerItem?

    var body: some View {
        VStack(spacing: 16) {
            if let picture = model.picture {
                photo(picture)
            } else {
                ContentUnavailableView(
                    "No photo yet",
                    systemImage: "photo",
                    description: Text("The photo is analyzed on this device and stays on it.")
                )
            }
            if model.picture != nil || model.problem != nil {
                AnswerView(
                    answer: model.answer, problem: model.problem, placeholder: "Analyzing…"
                )
            }
            PhotosPicker(selection: $item, matching: .images) {
                Label("Choose a photo", systemImage: "photo.on.rectangle")
            }
            .buttonStyle(.borderedProminent)
        }
        .padding()
        .task(id: item) {
            if let item {
                await model.choose { try await item.loadTransferable(type: Data.self) }
            }
        }
    }

    private func photo(_ picture: Picture) -> some View {
        Image(picture.image, scale: 1, label: Text("The chosen photo"))
            .resizable()
            .scaledToFit()
            .overlay {
                ViewfinderView(
                    frameSize: picture.size, input: model.input, isActive: model.answer?.label != nil
                )
            }
            .clipShape(.rect(cornerRadius: 16))
            .frame(maxHeight: .infinity)
    }
}
