# Issuing on simulators: what only madoguchi-sim shows.
heading-demo = Madoguchi  Issuing on simulators
heading-world = Madoguchi  Making a simulated world
demo-seed = seed { $seed }
demo-world = World
demo-register = register
demo-authority = authority
demo-operators = operators
demo-folder = Folder
error-world-not-empty = The folder { $path } is not empty
    .cause = There are files in it that belong to no world
    .mend = Name an empty folder, or a new one, with --state
error-world-already-made = There is a world in the folder { $path } already
    .cause = It was made before
    .mend = Use that world as it is, or name another folder with --state
error-world-not-made = There is no world in the folder { $path }
    .cause = --state is wrong, or the making of the world was interrupted
    .mend = Make a world with `world new`
error-world-damaged = { $path } can't be understood
    .cause = It was edited by hand, or is of another version
    .mend = Make a new world with `world new`
error-world-unknown-profile = There is no kind of card named { $name }
    .cause = --profile was mistyped
    .mend = Use jpki-2016 or jpki-next
error-world-faulty-register = { $count ->
        [one] The resident register has one fault
       *[other] The resident register has { $count } faults
    }
    .cause = It was exported or edited wrongly
    .mend = Mend these lines and try again
error-world-no-applicant = Nobody in the register can be issued both certificates
    .cause = All are under 15, or have characters for which a person must choose substitutes
    .mend = Add somebody who can to the register
error-world-io = { $path } can't be read or written
    .cause = The folder's permissions, or a full disk
    .mend = Check permissions and free space, or name another folder with --state
error-world-authority = The authority can't be set up
    .cause = The world's files are damaged, or of another version
    .mend = Make a new world with `world new`
error-world-card = The card can't be made ready
    .cause = The world's files are damaged, or of another version
    .mend = Make a new world with `world new`
