"""What is served: a student as a signed version in a Triton model repository, and the check that refuses anything else.

repo/student/config.pbtxt      for Triton; names the version that is served (`promotion`)
repo/student/1/student/        the stock diffusers folder
               adapters/NAME/  LoRA adapters that a request may name
               package.json    what it is: steps, size, digests, the canary, hints about prompts that it knows
               canary.png      what this student draws for the canary
               scorecard.json  (when one was given)
               model.sig       over all of the above in the version's folder
"""
