import SwiftUI

/// The three inputs: camera, drawing, photo. All use the same recognizer.
struct RootScreen: View {
    let model: AppModel
    // Saved between launches; the UI tests set it with a launch argument of this name.
    @AppStorage("inputSource") private var inputSource = InputSource.camera
    @Environment(\.scenePhase) private var scenePhase

    /// Also becomes true when the user returns to the app, for example from Settings.
    private var needsCamera: Bool {
        inputSource == .camera && scenePhase == .active
    }

    var body: some View {
        switch model.screens {
        case .success(let screens):
            TabView(selection: $inputSource) {
                Tab("Camera", systemImage: "camera", value: InputSource.camera) {
                    CameraScreen(model: screens.camera) { inputSource = .drawing }
                }
                Tab("Draw", systemImage: "pencil.tip", value: InputSource.drawing) {
                    DrawingScreen(model: screens.drawing)
                }
                Tab("Photo", systemImage: "photo", value: InputSource.photo) {
                    PhotoScreen(model: screens.photo)
                }
            }
            .task(id: needsCamera) {
                if needsCamera {
                    await screens.camera.start()
                } else {
                    await screens.camera.stop()
                }
            }
        case .failure(let error):
            ContentUnavailableView(
                "Recognition is not available",
                systemImage: "exclamationmark.triangle",
                description: Text(verbatim: error.localizedDescription)
            )
        }
    }
}

enum InputSource: String {
    case camera, drawing, photo
}

/// The models of all screens.
@MainActor
final class AppModel {
    struct Screens {
        let camera: CameraModel
        let drawing: DrawingModel
        let photo: PhotoModel
    }

    let screens: Result<Screens, any Error>

    init() {
        screens = Result {
            let recognizer = try Recognizer(bundle: .main)
            return Screens(
                camera: CameraModel(recognizer: recognizer),
                drawing: DrawingModel(recognizer: recognizer),
                photo: PhotoModel(recognizer: recognizer)
            )
        }
    }
}
